/** What is sent to the person, straight from the platform's push service: no permission needed. */

import { type Config, NETWORK, type Who, octets } from "../wire/api";
import { made } from "../wire/ids";
import { ask, forget } from "../wire/registering";
import { change, read, write } from "../wire/store";
import { parse } from "../worker/payload";
import { type Keys, generate, open } from "./decrypt";
import { type Message, follow } from "./sse";

/** One message; `at` in milliseconds since 1970. */
export interface Item {
  id: string;
  title: string;
  body?: string | undefined;
  image?: string | undefined;
  link?: string | undefined;
  at: number;
  read?: boolean | undefined;
}

type Take = (item: Item, whose: string) => Promise<void>;

/** This browser's subscription of its own at the push service; one person's, never handed on. */
interface Seat {
  push: string;
  /** What the push service knows the browser by. */
  token: string;
  channel: string;
  endpoint: string;
  keys: Keys;
  vapid: string;
  who: string;
  /** When the platform was told last. */
  told: number;
  /** The last message that is stored here. */
  cursor: string;
}

const DAY = 86_400_000;
const SEAT = "stream";
const GONE = new Set([401, 404, 410]);

/** base64url without padding. */
const base64 = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");

/**
 * Read what is sent to whoever is logged in, until stopped. One tab of an origin at a time.
 *
 * @param take - stores an item of somebody; a message counts as arrived once that is done.
 */
export async function listen(take: Take, stop: AbortSignal): Promise<void> {
  const config = await read<Config>("config");
  if (!config) return; // the SDK has not started here yet
  const who = await read<Who>("who");
  let seat = await read<Seat>(SEAT);
  if (seat && (seat.who !== who?.id || seat.vapid !== config.vapid)) {
    // What waits there is for somebody else, and the next person must not see it.
    await leave(config, seat);
    seat = undefined;
  }
  if (!who?.id) return;
  const push = (await (await fetch(config.api + "/sdk.json")).json()).push as string | null;
  if (!push) return; // the platform runs no push service
  if (seat?.push !== push) seat = await sit(config, push, who.id);
  const held = await tell(config, seat, who);
  const cut = new AbortController();
  const end = () => cut.abort();
  stop.addEventListener("abort", end, { once: true });
  if (stop.aborted) end();
  let failure: unknown;
  // What can't be stored is no message that may be passed over: from its cursor, then, once more.
  const failed = (error: unknown): void => {
    failure ??= error;
    end();
  };
  const status = await follow(
    { url: push + "/v1/stream", headers: bearer(held) },
    () => held.cursor,
    hearing(held, take, failed),
    cut.signal,
  );
  stop.removeEventListener("abort", end);
  if (failure) throw failure;
  if (GONE.has(status)) {
    await write(SEAT, undefined);
    throw new Error("the push service does not know this browser any more"); // a new seat, then
  }
}

const bearer = (seat: Seat) => ({ Authorization: "Bearer " + seat.token });

/** Call the push service; throws for what is no success. */
async function service(url: string, method: string, headers = {}, body?: unknown): Promise<Response> {
  const answer = await fetch(url, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: body ? JSON.stringify(body) : null,
    credentials: "omit",
  });
  if (!answer.ok) throw new Error(method + " " + url + ": " + answer.status);
  return answer;
}

async function sit(config: Config, push: string, who: string): Promise<Seat> {
  const { token } = await (await service(push + "/v1/devices", "POST")).json();
  const channel = crypto.randomUUID();
  const keys = await generate();
  const { vapid } = config;
  const seat: Seat = { push, token, channel, keys, vapid, who, endpoint: "", told: 0, cursor: "" };
  const url = push + "/v1/subscriptions/" + channel;
  const key = base64(octets(vapid));
  seat.endpoint = (await (await service(url, "PUT", bearer(seat), { key })).json()).endpoint;
  await write(SEAT, seat);
  return seat;
}

/** The platform sends to this address too: now and then it is told that it lives. */
async function tell(config: Config, seat: Seat, who: Who): Promise<Seat> {
  if (Date.now() - seat.told < DAY) return seat;
  await ask(config, "/v1/devices", {
    network: NETWORK,
    token: seat.endpoint,
    keys: { p256dh: base64(seat.keys.public), auth: base64(seat.keys.auth) },
    platform: "browser",
    model: "inbox",
    language: config.language,
    external_id: who.id,
    identity_token: who.token,
  });
  const told = { ...seat, told: Date.now() };
  await write(SEAT, told);
  return told;
}

async function leave(config: Config, seat: Seat): Promise<void> {
  await forget(config, seat.endpoint);
  await service(seat.push + "/v1/subscriptions/" + seat.channel, "DELETE", bearer(seat)).catch(
    () => undefined, // it ends with its last message: nobody knows the address any more
  );
  await write(SEAT, undefined);
}

/** Stores each message, then its cursor, then says that it has arrived: in this order. */
function hearing(
  seat: Seat,
  take: Take,
  failed: (error: unknown) => void,
): (message: Message) => void {
  let last: Promise<unknown> = Promise.resolve();
  let waiting: string[] = [];
  return (message) => {
    waiting.push(message.id);
    last = last.then(async () => {
      const item = await opened(seat, message);
      if (item) await take(item, seat.who);
      if ((await read<Who>("who"))?.id !== seat.who) return; // somebody else sits here by now
      seat.cursor = message.id;
      // A seat that was left meanwhile stays left.
      await change<Seat | undefined>(SEAT, (now) => (now?.token === seat.token ? seat : now));
      if (waiting.at(-1) !== message.id) return;
      // Said once for all that came together. What gets lost, the next start's cursor says again.
      const ids = waiting;
      waiting = [];
      await service(seat.push + "/v1/acks", "POST", bearer(seat), { ids }).catch(() => undefined);
    });
    last.catch(failed);
  };
}

/** The item of a message; nothing where it says nothing, or can't be read. */
async function opened(seat: Seat, message: Message): Promise<Item | undefined> {
  try {
    const { data, encoding } = JSON.parse(message.data);
    if (encoding !== "aes128gcm") return undefined;
    const shown = parse(await open(octets(data), seat.keys), undefined, location.href);
    if (shown.title === undefined) return undefined;
    const id = shown.kept.message ?? seat.channel + message.id;
    const { body, image } = shown.options as { body?: string; image?: string };
    return { id, title: shown.title, body, image, link: shown.kept.link, at: made(id) ?? Date.now() };
  } catch (error) {
    console.warn("clarion:", error);
    return undefined;
  }
}
