/** Events wait here until the API has them, whatever closes or breaks meanwhile. */

import { type Config, type Device, call } from "./api";
import { fresh } from "./ids";
import { all, drop, put, read, within } from "./store";

/** An event as it waits; who it is of is added when it leaves. */
export interface Waiting {
  id: string;
  name: string;
  at: string;
  message?: string;
  value?: number;
  properties?: Record<string, unknown>;
}

/** What one call carries: usually little enough to outlive its page. */
const BATCH = 50;
const MOST = 1000;

export async function enqueue(
  event: Omit<Waiting, "id" | "at"> & { id?: string },
  now = Date.now(),
): Promise<void> {
  await put("events", { ...event, id: event.id ?? fresh(now), at: new Date(now).toISOString() });
  if ((await within("events", "readonly", (store) => store.count())) > MOST) {
    // Ids begin with their time: the oldest is first.
    await drop("events", (await all<Waiting>("events", 1)).map((oldest) => oldest.id));
  }
}

/** What an answer's status says of the events that were sent. */
export function verdict(status: number, many: boolean): "done" | "split" | "keep" {
  if (status >= 200 && status < 300) return "done";
  // The API refuses bad events one by one; if it can't read a batch at all, find the culprit.
  if (status === 400 || status === 413 || status === 422) return many ? "split" : "done";
  return "keep";
}

/**
 * Tell the API everything that waits. One tab or worker at a time: a second one finds the room
 * empty. A repeat is harmless, because the API knows each id.
 *
 * @returns whether nothing waits any more; false: try again later.
 */
export function flush(): Promise<boolean> {
  return navigator.locks.request("clarion-events", async () => {
    const config = await read<Config>("config");
    const device = await read<Device>("device");
    let most = BATCH;
    for (;;) {
      const events = await all<Waiting>("events", most);
      if (!events.length) return true;
      if (!config || !device) return false;
      const named = events.map((event) => ({ network: "webpush", token: device.token, ...event }));
      const status = await call(config, "/v1/events", { events: named }).then(
        (answer) => answer.status,
        () => 0,
      );
      const judged = verdict(status, events.length > 1);
      if (judged === "keep") return false;
      if (judged === "split") most = 1;
      else await drop("events", events.map((event) => event.id));
    }
  });
}
