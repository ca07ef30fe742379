/** Registering this browser, moving it between people, forgetting it. */

import { type Config, type Device, NETWORK, type Who, call, octets, sameKey } from "./api";
import { flush } from "./queue";
import { read, write } from "./store";

const DAY = 86_400_000;
const NOBODY: Who = { id: null };

/** The platform refused; `status` 0: it could not be reached. */
export class ClarionError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The person's token that the call went with. */
    readonly token?: string,
  ) {
    super(message);
    this.name = "ClarionError";
  }
}

/** The person's token is refused, or wanted and missing: whoever signs them can mend that. */
export const unvouched = (error: unknown): error is ClarionError =>
  error instanceof ClarionError && error.code.startsWith("identity_token");

/** POST; throws `ClarionError` for every answer that is no success. */
export async function ask(config: Config, path: string, body: unknown): Promise<Response> {
  const answer = await call(config, path, body).catch((error: unknown) => {
    throw new ClarionError(0, "unreachable", String(error));
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const token = (body as { identity_token?: string }).identity_token;
  throw new ClarionError(answer.status, said.code ?? "", said.detail ?? answer.statusText, token);
}

/** The subscription made with the platform's key, made anew where another key made it. */
export async function subscribe(
  registration: ServiceWorkerRegistration,
  config: Config,
): Promise<PushSubscription> {
  const key = octets(config.vapid);
  const held = await registration.pushManager.getSubscription();
  if (held && sameKey(held.options?.applicationServerKey, key)) return held;
  if (held) {
    // A browser has one at a time. Where the platform can't be reached, or would not take the
    // person's word for the new one, the old one stays.
    const device = await read<Device>("device");
    if (device) await move(config, device, (await read<Who>("who")) ?? NOBODY);
    await held.unsubscribe();
  }
  return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

/** What the page knows of the browser, besides its address. */
export interface About {
  permission: string;
  tags: Record<string, unknown>;
  /** Steps of asking are to be told yet: they lead to the permission, and can't follow it. */
  stepping?: boolean;
}

/**
 * Make the platform know this subscription and its person. Calls only where something changed or
 * a day has passed; what could not be told is told by the next call, because what is compared is
 * what the platform has confirmed.
 */
export async function settle(
  config: Config,
  subscription: PushSubscription,
  about: About,
): Promise<Device> {
  const token = subscription.endpoint;
  const who = (await read<Who>("who")) ?? NOBODY;
  let held = await read<Device>("device");
  if (held && held.who !== who.id) held = await move(config, held, who);
  const named = who.id ? { external_id: who.id, identity_token: who.token } : {};
  const body = {
    network: NETWORK,
    token,
    keys: subscription.toJSON().keys,
    platform: "browser",
    language: config.language,
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    permission: about.permission,
    attributes: about.tags,
  };
  const told = JSON.stringify(body) + who.id;
  if (held && held.token === token && held.told === told && Date.now() - held.at < DAY) return held;
  const permission = about.stepping ? undefined : about.permission;
  // A new address of the same browser: person, consent and steps of asking stay with it.
  const replaces = held && held.token !== token ? held.token : undefined;
  await ask(config, "/v1/devices", { ...body, ...named, permission, replaces });
  const device: Device = { token, keys: body.keys, who: who.id, told, at: Date.now() };
  await write("device", device);
  return device;
}

/** Another person uses the device, or nobody that we know. */
async function move(config: Config, device: Device, who: Who): Promise<Device> {
  const named = { network: NETWORK, token: device.token };
  // What happened so far happened to the person of so far.
  if (device.who !== who.id) await flush();
  try {
    await (who.id
      ? ask(config, "/v1/devices:login", {
          ...named,
          external_id: who.id,
          identity_token: who.token,
        })
      : ask(config, "/v1/devices:logout", named));
  } catch (error) {
    // Forgotten meanwhile: the registration that follows names the person.
    if (!(error instanceof ClarionError && error.status === 404)) throw error;
  }
  const moved = { ...device, who: who.id, told: "" };
  await write("device", moved);
  return moved;
}

/** The platform forgets an address that is no longer ours; one that it does not know is as good. */
export async function forget(config: Config, token: string): Promise<void> {
  await ask(config, "/v1/devices:forget", { network: NETWORK, token }).catch((error) => {
    if (error.status !== 404) throw error;
  });
}
