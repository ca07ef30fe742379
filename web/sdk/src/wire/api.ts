/** Calls of the platform, and what pages and worker remember about them. */

/** What the page said at its start; the worker reads it when no page lives. */
export interface Config {
  api: string;
  key: string;
  vapid: string;
  /** What to say for a push that says nothing. */
  fallback: { title: string; body?: string };
  icon?: string | undefined;
  badge?: string | undefined;
  language: string;
}

/** The device as the platform knows it. */
export interface Device {
  token: string;
  keys: unknown;
  /** External id, or null: nobody we know. */
  who: string | null;
  /** What was registered last, and when. */
  told: string;
  at: number;
}

/** Who the page says that the person is, with the token that its server signed. */
export interface Who {
  id: string | null;
  token?: string | undefined;
}

/** A browser is named by the address of its push subscription. */
export const NETWORK = "webpush";

/** The limit of requests that outlive their page is 64 KiB for all of them (Fetch 4.6). */
const KEPT_ALIVE = 60_000;

/** POST JSON. The request goes on when the page is closed, if it is small enough. */
export function call(config: Config, path: string, body: unknown): Promise<Response> {
  const text = JSON.stringify(body);
  return fetch(config.api + path, {
    method: "POST",
    headers: { Authorization: "Bearer " + config.key, "Content-Type": "application/json" },
    body: text,
    keepalive: text.length * 3 < KEPT_ALIVE, // a character has at most three octets of UTF-8
    credentials: "omit",
    cache: "no-store",
  });
}

/** An http(s) address that a notification may open or load; anything else is nothing. */
export function web(address: unknown, base: string): string | undefined {
  if (typeof address !== "string" || !address) return undefined;
  try {
    const url = new URL(address, base);
    return /^https?:$/.test(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** The key of a VAPID pair as octets; also from plain base64, which people paste. */
export function octets(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64.replace(/-/g, "+").replace(/_/g, "/").replace(/=+$/, ""));
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Whether a subscription was made with that key. */
export function sameKey(held: ArrayBuffer | null | undefined, wanted: Uint8Array): boolean {
  // A browser that does not tell (`options` is newer than push) is believed.
  if (!held) return true;
  const bytes = new Uint8Array(held);
  return bytes.length === wanted.length && bytes.every((byte, i) => byte === wanted[i]);
}
