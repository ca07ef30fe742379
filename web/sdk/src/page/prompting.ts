/** How far asking has come, told to the platform once it knows the browser. */

import type { Config, Device } from "../wire/api";
import { NETWORK } from "../wire/api";
import { ClarionError, ask } from "../wire/registering";
import { read, write } from "../wire/store";

export type Step =
  | "show_primer"
  | "accept_primer"
  | "decline_primer"
  | "show_prompt"
  | "grant"
  | "deny"
  | "block";

interface Taken {
  step: Step;
  at: string;
}

const MOST = 50;

let last: Promise<unknown> = Promise.resolve();

/**
 * Write a step down, after the steps before it. A browser without a subscription has no name that
 * they could be told under, so they wait until there is one.
 */
export function step(what: Step): Promise<unknown> {
  const at = new Date().toISOString();
  return (last = last.then(async () => {
    const taken = (await read<Taken[]>("steps")) ?? [];
    await write("steps", [...taken, { step: what, at }].slice(-MOST));
  }));
}

/** Tell the steps in their order. */
export async function report(config: Config, device: Device): Promise<void> {
  await last;
  for (;;) {
    const [first, ...rest] = (await read<Taken[]>("steps")) ?? [];
    if (!first) return;
    await ask(config, "/v1/devices:prompt", { network: NETWORK, token: device.token, ...first }).catch(
      (error: ClarionError) => {
        // A step that the platform has no place for stays untold; the permission itself is known.
        if (!error.status || error.status >= 500 || error.status === 429) throw error;
      },
    );
    await write("steps", rest);
  }
}
