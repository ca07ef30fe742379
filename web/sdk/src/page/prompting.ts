/** How far asking has come: told under the browser's address, or, where there is none, of nobody. */

import type { Config, Device } from "../wire/api";
import { NETWORK } from "../wire/api";
import { type ClarionError, ask } from "../wire/registering";
import { change, read, write } from "../wire/store";

export type Step =
  | "show_primer"
  | "accept_primer"
  | "decline_primer"
  | "show_prompt"
  | "grant"
  | "deny"
  | "dismiss"
  | "block";

interface Taken {
  /** Of this step alone: it counts once, and nothing ties it to another. */
  id: string;
  what: Step;
  at: string;
  /** Of the text that the person was shown. */
  version: string;
}

const MOST = 50;
/** After these nothing follows: the next step begins anew. */
const ENDS: Step[] = ["decline_primer", "grant", "deny", "dismiss", "block"];
export const PREFERENCES = "/v1/devices:preferences";

/** Write a step down: it waits in the browser's database until the platform has it. */
export function step(what: Step, version = ""): Promise<unknown> {
  const taken: Taken = { id: crypto.randomUUID(), what, at: new Date().toISOString(), version };
  return change<Taken[]>("steps", (held = []) => [...held, taken].slice(-MOST));
}

/** These are told; what was written down meanwhile, in whatever tab, is not. */
function told(taken: Taken[]): Promise<unknown> {
  const ids = taken.map((one) => one.id);
  return change<Taken[]>("steps", (held = []) => held.filter((one) => !ids.includes(one.id)));
}

const steps = async (): Promise<Taken[]> => (await read<Taken[]>("steps")) ?? [];

/** Whether there are steps to tell under the browser's address. */
export async function stepping(): Promise<boolean> {
  return !(await read("visitor")) && !!(await steps()).length;
}

/**
 * Tell the steps of somebody who has no address, such as everybody who said no: the platform counts
 * them, and keeps nothing by which they could be put together. What follows a step that was told so
 * is told so too, until asking begins anew: nothing is counted twice.
 */
export async function visit(config: Config): Promise<void> {
  const taken = await steps();
  if (!taken.length) return;
  // What was taken back was a device's: it says nothing of how asking went.
  const said = taken.filter((one) => one.what !== "block");
  if (said.length) await ask(config, "/v1/prompts", { steps: said }).catch(settled);
  await told(taken);
  await write("visitor", !ENDS.includes(taken.at(-1)!.what));
}

/** What was ticked in the primer, and the words beside the boxes: what the consent ledger keeps. */
export interface Chosen {
  categories: Record<string, "all">;
  shown: { text: string; language: string; text_version: string };
}

/** Tell the steps in their order, and what was chosen; they wait where the platform forgot the device. */
export const report = (config: Config, device: Device): Promise<void> =>
  tell(config, device).catch((error: ClarionError) => {
    if (error.status !== 404) throw error;
  });

async function tell(config: Config, device: Device): Promise<void> {
  const named = { network: NETWORK, token: device.token };
  const chosen = await read<Chosen>("chosen");
  if (chosen) {
    await ask(config, PREFERENCES, { ...named, ...chosen }).catch(settled);
    await write("chosen", undefined);
  }
  if (await read("visitor")) return visit(config);
  for (;;) {
    const [first] = await steps();
    if (!first) return;
    await ask(config, "/v1/devices:prompt", { ...named, ...first }).catch(settled);
    await told([first]);
  }
}

/** A step out of order, a category that went: refused for good. Everything else may yet be taken. */
function settled(error: ClarionError): void {
  if (![400, 409, 422].includes(error.status)) throw error;
  console.warn("clarion:", error.message);
}
