/** The page's side: permission, subscription, person, tags, events. */

import type {
  Answer,
  Clarion,
  Events,
  Options,
  Preferences,
  PreferencesChange,
  PrimerWords,
  State,
} from "../public";
import { type Config, type Device, NETWORK, type Who } from "../wire/api";
import { enqueue, flush } from "../wire/queue";
import { ClarionError, ask as post, forget, settle, subscribe, unvouched } from "../wire/registering";
import { change, drop, read, write } from "../wire/store";
import { primer } from "./primer";
import { type Chosen, PREFERENCES, report, step, stepping, visit } from "./prompting";
import { pause, pick } from "./words";

/** A browser that hides its question leaves the promise open; people answer sooner than this. */
const QUIET_MS = 8_000;
/** No hand is as quick as this: the browser itself has answered. */
const INSTANT_MS = 150;
const RETRY_MS = 5_000;
const RETRY_MOST_MS = 300_000;

interface Later {
  times: number;
  until: number;
}

/** Browsers where a policy for scripts demands that addresses of workers are vouched for. */
interface Vouching {
  trustedTypes?: {
    createPolicy(
      name: string,
      rules: { createScriptURL(text: string): string },
    ): { createScriptURL(text: string): unknown };
  };
}

// `globalThis`: sites that render on a server import this there too.
const policy = (globalThis as Vouching).trustedTypes?.createPolicy("clarion", {
  createScriptURL: (text) => text,
});

export async function init(options: Options): Promise<Clarion> {
  const languages = options.languages ?? navigator.languages;
  const config: Config = {
    api: options.api.replace(/\/+$/, ""),
    key: options.key,
    vapid: options.vapid,
    fallback: pick(options.fallback ?? {}, languages)?.[1] ?? { title: location.host },
    icon: options.icon,
    badge: options.badge,
    language: languages[0] ?? "en",
  };
  const listeners: { [K in keyof Events]?: ((event: Events[K]) => void)[] } = {};
  const supported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  const tabs = new BroadcastChannel("clarion");
  let later = await read<Later>("later");
  let registration: ServiceWorkerRegistration | undefined;
  let failed = 0;
  /** The page is asked for a token of the person. */
  let renewing = false;
  /** A site may sign what the platform never takes: what it gave last, and how long that rests. */
  let rest: { given?: string | null; until: number; ms: number } = { until: 0, ms: RETRY_MS };
  /** A question is open: how it ends is told with how it began. */
  let asking = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function tell<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of listeners[name] ?? []) listener(event);
  }

  async function state(): Promise<State> {
    const device = await read<Device>("device");
    later = await read<Later>("later");
    return {
      supported,
      ...(!supported && { why: /iP(hone|ad|od)/.test(navigator.userAgent) ? "install" : "browser" }),
      permission: supported ? Notification.permission : "denied",
      subscribed: !!device && supported && Notification.permission === "granted",
      who: (await read<Who>("who"))?.id ?? null,
      ...(later && later.until > Date.now() && { later: later.until }),
    };
  }

  async function changed(): Promise<void> {
    tabs.postMessage("state");
    tell("state", await state());
  }

  /** Make the platform know what is so; one tab at a time. */
  function reconcile(): Promise<void> {
    return navigator.locks.request("clarion-device", async () => {
      const held = await read<Device>("device");
      if (!registration || !supported) return;
      const tags = (await read<Record<string, unknown>>("tags")) ?? {};
      const granted = Notification.permission === "granted";
      if (granted && !(await read<boolean>("off"))) {
        const device = await settle(config, await subscribe(registration, config), {
          permission: "granted",
          tags,
          stepping: await stepping(),
        });
        if (device.told !== held?.told) await changed();
        await report(config, device);
      } else if (held && !granted) {
        // Taken back in the browser's settings, which also ended the subscription.
        await step("block");
        await report(config, held);
        await forget(config, held.token);
        await write("device", undefined);
        await changed();
      } else if (!granted && !asking) await visit(config);
    });
  }

  /**
   * The person's token is refused: ask the page for another. No lock is held meanwhile, because the
   * page may take its time, and may call `login` instead of answering.
   *
   * @param refused the token that was; another one may have come since.
   * @returns whether there is another token, or another person, now.
   */
  async function renewed(refused?: string): Promise<boolean> {
    const who = await read<Who>("who");
    if (who?.token !== refused) return true;
    if (!options.onTokenExpired || !who?.id) return false;
    // One question at a time; whoever comes meanwhile tries again later.
    const again = !!refused && refused === rest.given;
    if (again && Date.now() < rest.until) return false;
    if (renewing) throw new ClarionError(0, "renewing", "A token is being asked for.");
    renewing = true;
    try {
      const token = await options.onTokenExpired(who.id);
      const ms = again ? Math.min(2 * rest.ms, RETRY_MOST_MS) : RETRY_MS;
      rest = { given: token ?? null, until: Date.now() + ms, ms };
      if (token)
        await change<Who>("who", (now = who) => (now.id === who.id ? { ...now, token } : now));
    } finally {
      renewing = false;
    }
    const now = await read<Who>("who");
    return now?.id !== who.id || now?.token !== who.token;
  }

  /** Somebody else's call was refused so: the worker's, or the inbox's. */
  async function renew(refused?: string): Promise<void> {
    if (!(await renewed(refused))) return;
    await changed();
    await work();
  }

  /** Tell what waits, now and until it is told. */
  async function work(): Promise<void> {
    clearTimeout(timer);
    // Only what a later try can mend is tried again; the rest is thrown to whoever called.
    const mendable = (error: unknown): false => {
      if (error instanceof ClarionError && error.status && error.status < 500 && error.status !== 429)
        throw error;
      return false;
    };
    const settled = await reconcile()
      .catch(async (error) => {
        if (!unvouched(error) || !(await renewed(error.token))) throw error;
        await reconcile();
      })
      .then(() => true, mendable);
    const told = await flush();
    failed = settled && (told || !(await read<Device>("device"))) ? 0 : failed + 1;
    if (failed) {
      const wait = Math.min(RETRY_MS * 2 ** (failed - 1), RETRY_MOST_MS);
      timer = setTimeout(quietly, wait * (0.5 + Math.random() / 2));
    }
  }

  /** The same where nobody waits for it: what the platform refuses is said in the console. */
  const quietly = (): void => void work().catch((error) => console.warn("clarion:", error));

  /** Ask the browser. The question comes first of all: it must still be the click that asks. */
  async function prompt(version?: string): Promise<Answer> {
    const asked = performance.now();
    const answering = Notification.requestPermission();
    asking = true;
    void step("show_prompt", version);
    const wait = new Promise<"quiet">((done) => setTimeout(done, QUIET_MS, "quiet"));
    const first = await Promise.race([answering, wait]);
    if (first === "quiet") {
      // It may still be answered, through the icon in the address bar.
      void answering.then((said) => answered(said, version)).then(quietly);
      return "quiet";
    }
    const instant = performance.now() - asked < INSTANT_MS;
    await answered(first, version);
    return first !== "default" ? first : instant ? "quiet" : "dismissed";
  }

  async function answered(permission: NotificationPermission, version?: string): Promise<void> {
    asking = false;
    if (permission === "granted") {
      await write("later", (later = undefined));
      await write("off", false);
      await step("grant", version);
    } else if (permission === "denied") await step("deny", version);
    else {
      await step("dismiss", version);
      await postpone();
    }
    await changed();
    if (permission !== "granted") quietly();
  }

  async function postpone(): Promise<void> {
    const times = (later?.times ?? 0) + 1;
    const days = options.backOffDays ?? [1, 7, 30, 90];
    await write("later", (later = { times, until: pause(times, days, Date.now()) }));
  }

  async function ask(how: { force?: boolean } = {}): Promise<Answer> {
    if (!supported) return "unsupported";
    const permission = Notification.permission;
    if (permission === "denied") return "denied";
    if (permission === "granted") {
      await write("off", false);
      await work();
      return "granted";
    }
    if (!how.force && later && later.until > Date.now()) return "later";
    const words = options.primer && pick(options.primer, languages);
    if (!words) {
      const answer = await prompt();
      if (answer === "granted") await work();
      return answer;
    }
    const { version } = words[1];
    asking = true;
    void step("show_primer", version);
    const said = await primer(words[1], words[0], () => {
      void step("accept_primer", version);
      return prompt(version);
    });
    if (said.answer) {
      await choose(said.chosen, words);
      const answer = await said.answer;
      if (answer === "granted") await work();
      return answer;
    }
    asking = false;
    await step("decline_primer", version);
    await postpone();
    await changed();
    quietly();
    return "later";
  }

  /** Keep what was ticked until the browser is registered; it is no consent without its words. */
  async function choose(
    ticked: Record<string, boolean>,
    [language, words]: [string, PrimerWords],
  ): Promise<void> {
    const slugs = Object.keys(ticked).filter((slug) => ticked[slug]);
    if (!slugs.length) return;
    const texts = slugs.map((slug) => words.categories?.[slug]);
    const chosen: Chosen = {
      categories: Object.fromEntries(slugs.map((slug) => [slug, "all"])),
      shown: {
        text: [words.title, words.body, ...texts].filter(Boolean).join("\n"),
        language,
        text_version: words.version ?? "",
      },
    };
    await write("chosen", chosen);
  }

  function prefer(change: PreferencesChange = {}): Promise<Preferences> {
    // A registration that is under way ends first: it may be giving the device another address.
    return navigator.locks.request("clarion-device", async () => {
      const device = await read<Device>("device");
      if (!device) throw new ClarionError(0, "not_subscribed", "This browser is not subscribed.");
      const body = { network: NETWORK, token: device.token, ...change };
      return (await post(config, PREFERENCES, body)).json() as Promise<Preferences>;
    });
  }

  async function become(who: Who): Promise<void> {
    const before = await read<Who>("who");
    await write("who", who);
    if (before?.id !== who.id) {
      // What one person was shown is not for the next one at the same computer.
      if (before?.id) await drop("inbox");
      await changed();
    }
    await work();
  }

  await write("config", config);
  tabs.onmessage = ({ data }) => {
    if (data === "state") void state().then((now) => tell("state", now));
    if (typeof data === "object") void renew(data.token).catch((error) => console.warn("clarion:", error));
  };
  if (supported) {
    const address = options.worker ?? "/sw.js";
    registration = await navigator.serviceWorker.register(
      (policy ? policy.createScriptURL(address) : address) as string,
      { scope: options.scope ?? "/", updateViaCache: "none" },
    );
    await navigator.serviceWorker.ready;
    navigator.serviceWorker.addEventListener("message", ({ data }) => {
      if (data?.clarion === "push" || data?.clarion === "click") tell(data.clarion as "push", data);
    });
    addEventListener("online", quietly);
    document.addEventListener("visibilitychange", () => {
      // No lock may be taken by a page that goes: Firefox keeps it, and what it holds, for half an
      // hour, and every other tab and the worker would wait. Steps need none: each counts once.
      if (!document.hidden) quietly();
      else if (asking) void visit(config).catch(() => undefined);
    });
    const status = await navigator.permissions?.query({ name: "notifications" });
    status?.addEventListener("change", quietly);
    quietly();
  }

  return {
    state,
    ask,
    login: (id, token) => become({ id, token }),
    logout: () => become({ id: null }),
    async tag(tags) {
      await change<object>("tags", (held) => ({ ...held, ...tags }));
      await work();
    },
    async track(name, properties, value) {
      await enqueue({ name, ...(properties && { properties }), ...(value !== undefined && { value }) });
      quietly();
    },
    preferences: () => prefer(),
    prefer,
    unsubscribe: () =>
      // A registration that is under way in some tab ends first, and none begins meanwhile.
      navigator.locks.request("clarion-device", async () => {
        await write("off", true);
        const held = await read<Device>("device");
        await (await registration?.pushManager.getSubscription())?.unsubscribe();
        if (held) {
          await flush();
          await forget(config, held.token);
          await write("device", undefined);
          await changed();
        }
      }),
    on(name, listener) {
      const list = (listeners[name] ??= []) as (typeof listener)[];
      list.push(listener);
      return () => void list.splice(list.indexOf(listener), 1);
    },
  };
}
