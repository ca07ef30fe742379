/** How far asking has come, told to the platform once it knows the browser. */

import type { Config, Device } from "../wire/api";
import { NETWORK } from "../wire/api";
import { type ClarionError, ask } from "../wire/registering";
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
  what: Step;
  at: string;
}

const MOST = 50;
export const PREFERENCES = "/v1/devices:preferences";

let last: Promise<unknown> = Promise.resolve();

/**
 * Write a step down, after the steps before it. A browser without a subscription has no name that
 * they could be told under, so they wait until there is one.
 */
export function step(what: Step): Promise<unknown> {
  const at = new Date().toISOString();
  return (last = last.then(async () => {
    const taken = (await read<Taken[]>("steps")) ?? [];
    await write("steps", [...taken, { what, at }].slice(-MOST));
  }));
}

/** Whether there are steps to tell. */
export async function stepping(): Promise<boolean> {
  await last;
  return !!(await read<Taken[]>("steps"))?.length;
}

/** What was ticked in the primer, and the words beside the boxes: what the consent ledger keeps. */
export interface Chosen {
  categories: Record<string, "all">;
  shown: { text: string; language: string; text_version: string };
}

/** Tell the steps in their order, and what was chosen. */
export async function report(config: Config, device: Device): Promise<void> {
  await last;
  const named = { network: NETWORK, token: device.token };
  const chosen = await read<Chosen>("chosen");
  if (chosen) {
    await ask(config, PREFERENCES, { ...named, ...chosen }).catch(settled);
    await write("chosen", undefined);
  }
  for (;;) {
    const [first, ...rest] = (await read<Taken[]>("steps")) ?? [];
    if (!first) return;
    await ask(config, "/v1/devices:prompt", { ...named, ...first }).catch(settled);
    await write("steps", rest);
  }
}

/** What the platform refuses once it refuses always: a step out of order, a category that went. */
function settled(error: ClarionError): void {
  if (!error.status || error.status >= 500 || error.status === 429) throw error;
  console.warn("clarion:", error.message);
}
