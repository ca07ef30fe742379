/** How far asking has come: told under the browser's address, or, where there is none, of nobody. */

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

let last: Promise<unknown> = Promise.resolve();

/** Write a step down, after the steps before it. */
export function step(what: Step, version = ""): Promise<unknown> {
  const taken: Taken = { id: crypto.randomUUID(), what, at: new Date().toISOString(), version };
  return (last = last.then(async () => write("steps", [...(await steps()), taken].slice(-MOST))));
}

const steps = async (): Promise<Taken[]> => (await read<Taken[]>("steps")) ?? [];

/** Whether there are steps to tell under the browser's address. */
export async function stepping(): Promise<boolean> {
  await last;
  return !(await read("visitor")) && !!(await steps()).length;
}

/**
 * Tell the steps of somebody who has no address, such as everybody who said no: the platform counts
 * them, and keeps nothing by which they could be put together. What follows a step that was told so
 * is told so too, until asking begins anew: nothing is counted twice.
 */
export async function visit(config: Config): Promise<void> {
  await last;
  const taken = await steps();
  if (!taken.length) return;
  await ask(config, "/v1/prompts", { steps: taken }).catch(settled);
  const told = new Set(taken.map((one) => one.id));
  await (last = last.then(async () =>
    write("steps", (await steps()).filter((one) => !told.has(one.id))),
  ));
  await write("visitor", !ENDS.includes(taken.at(-1)!.what));
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
  if (await read("visitor")) return visit(config);
  for (;;) {
    const [first, ...rest] = await steps();
    if (!first) return;
    const { id: _, ...taken } = first;
    await ask(config, "/v1/devices:prompt", { ...named, ...taken }).catch(settled);
    await write("steps", rest);
  }
}

/** What the platform refuses once it refuses always: a step out of order, a category that went. */
function settled(error: ClarionError): void {
  if (!error.status || error.status >= 500 || error.status === 429) throw error;
  console.warn("clarion:", error.message);
}
