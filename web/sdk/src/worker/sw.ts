/** The service worker: shows what is pushed, and tells what became of it. */

import { type Config, type Device, web } from "../wire/api";
import { once } from "../wire/ids";
import { enqueue, flush } from "../wire/queue";
import { settle, subscribe, unvouched } from "../wire/registering";
import { keep, mark, read } from "../wire/store";
import { type Kept, type Shown, parse } from "./payload";

declare const self: ServiceWorkerGlobalScope;

/** Named fields that TypeScript's library does not know yet. */
interface Declared extends PushEvent {
  readonly notification?: unknown;
}
interface Wakes extends ServiceWorkerRegistration {
  readonly sync?: { register(tag: string): Promise<void> };
}
interface SyncEvent extends ExtendableEvent {
  readonly tag: string;
}

const TAG = "clarion-events";
const clickedOn = new Set<string>();
const tabs = new BroadcastChannel("clarion");

self.addEventListener("install", () => void self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => event.waitUntil(pushed(event as Declared)));
self.addEventListener("notificationclick", (event) => {
  const kept = ours(event.notification);
  if (!kept) return; // somebody else's notification
  event.notification.close();
  // Some desktops say that it was closed, too: that is no dismissal.
  if (kept.message) clickedOn.add(kept.message);
  // A window may be opened only while the click is fresh, so that comes first.
  event.waitUntil(Promise.all([open(kept, event.action), clicked(kept, event.action)]));
});
self.addEventListener("notificationclose", (event) => {
  const kept = ours(event.notification);
  if (kept && !clickedOn.delete(kept.message ?? "")) event.waitUntil(report(kept, "dismissed"));
});
self.addEventListener("pushsubscriptionchange", (event) =>
  (event as ExtendableEvent).waitUntil(renew()),
);
self.addEventListener("sync", (event) => {
  const sync = event as SyncEvent;
  // A rejection makes the browser try again by itself.
  if (sync.tag === TAG) sync.waitUntil(flush().then((done) => done || Promise.reject()));
});

async function pushed(event: Declared): Promise<void> {
  const config = await read<Config>("config").catch(() => undefined);
  const shown = parse(text(event), event.notification, self.registration.scope, config);
  const { kept } = shown;
  const windows = await self.clients.matchAll({ type: "window" });
  const watched = windows.some((client) => client.visibilityState === "visible");
  // `userVisibleOnly` was promised: a push shows something, unless its page is being looked at.
  if (shown.title !== undefined || !watched) await show(shown, config);
  for (const client of windows) client.postMessage({ clarion: "push", ...kept });
  if (shown.title !== undefined && kept.message) {
    const { options } = shown;
    const { image, body } = options;
    const item = { id: kept.message, title: shown.title, body, image, link: kept.link, at: Date.now() };
    // Pushes are for whoever the platform takes the browser's person for.
    await keep(item, (await read<Device>("device"))?.who ?? undefined);
    tabs.postMessage("inbox");
  }
  if (shown.badge !== undefined) await badge(shown.badge);
  await report(kept, "received", shown.title !== undefined && "displayed");
}

/** The payload, unless there is none or it is no text. */
function text(event: PushEvent): string | undefined {
  try {
    return event.data?.text();
  } catch {
    return undefined;
  }
}

async function show(shown: Shown, config: Config | undefined): Promise<void> {
  const { title, options } = shown;
  const instead = config?.fallback;
  await (title !== undefined
    ? self.registration.showNotification(title, options)
    : self.registration.showNotification(instead?.title || self.location.host, {
        ...options,
        body: instead?.body ?? "",
        tag: "clarion",
        silent: true,
      }));
}

async function badge(count: number): Promise<void> {
  // Only an installed app has a badge; elsewhere the browser refuses.
  await navigator.setAppBadge?.(count).catch(() => undefined);
}

function ours(notification: Notification): Kept | undefined {
  const kept = notification.data?.clarion as Kept | undefined;
  return kept && { ...kept };
}

/** Focus the window that shows the address already, else open one. */
async function open(kept: Kept, action: string): Promise<void> {
  const wanted = web((action && kept.links[action]) || kept.link, self.registration.scope);
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((client) => !wanted || client.url === wanted);
  const opened = await (there
    ? there.focus().catch(() => there)
    : self.clients.openWindow(wanted ?? self.registration.scope));
  opened?.postMessage({ clarion: "click", action, ...kept });
}

async function clicked(kept: Kept, action: string): Promise<void> {
  if (kept.message) {
    // What was opened is no news in the inbox.
    await mark(kept.message);
    tabs.postMessage("inbox");
  }
  await (action ? report(kept, "clicked:" + action) : report(kept, "opened"));
}

/** Write down what happened, then tell it. */
async function report(kept: Kept, ...what: (string | false)[]): Promise<void> {
  if (!kept.message) return;
  const token = (await read<Device>("device"))?.token ?? "";
  for (const name of what) {
    if (!name) continue;
    const action = name.split(":").slice(1).join(":");
    await enqueue({
      id: await once(kept.message, name, token, Date.now()),
      name: "clarion." + name.split(":")[0],
      message: kept.message,
      ...(action && { properties: { action } }),
    });
  }
  if (!(await flush())) {
    // Chromium wakes us when the network is back; elsewhere the next push or page tells it.
    await (self.registration as Wakes).sync?.register(TAG).catch(() => undefined);
  }
}

/** The push service gave the subscription up: make another and say so. */
async function renew(): Promise<void> {
  const config = await read<Config>("config");
  if (!config) return;
  await navigator.locks.request("clarion-device", async () => {
    const about = { permission: "granted", tags: (await read<Record<string, unknown>>("tags")) ?? {} };
    // What can't be told now, a page tells: it compares with what was confirmed. One that is open
    // can ask its server for another token of the person, and does so at once.
    await subscribe(self.registration, config)
      .then((subscription) => settle(config, subscription, about))
      .catch((error) => {
        if (unvouched(error)) tabs.postMessage({ token: error.token });
        throw error;
      });
  });
}
