/** One small database that the pages and the worker of an origin share. */

/** `state`: by name. `events`: what the API has not been told yet. `inbox`: what was shown here. */
export type Room = "state" | "events" | "inbox";

const ROOMS: Room[] = ["state", "events", "inbox"];
let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  return (opened ??= new Promise<IDBDatabase>((done, fail) => {
    const asked = indexedDB.open("clarion", 1);
    asked.onupgradeneeded = () => {
      for (const room of ROOMS) {
        asked.result.createObjectStore(room, room === "state" ? {} : { keyPath: "id" });
      }
    };
    asked.onsuccess = () => {
      // Another tab with a newer SDK, or the person clearing the site's data: open anew next time.
      asked.result.onversionchange = asked.result.onclose = () => {
        asked.result.close();
        opened = undefined;
      };
      done(asked.result);
    };
    asked.onerror = () => {
      opened = undefined;
      fail(asked.error);
    };
  }));
}

/** One transaction in one room, and others that it looks into; done when it is committed. */
export async function within<T>(
  room: Room,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore, unit: IDBTransaction) => { readonly result: T },
  ...more: Room[]
): Promise<T> {
  const base = await open();
  return new Promise<T>((done, fail) => {
    const unit = base.transaction([room, ...more], mode);
    const asked = work(unit.objectStore(room), unit);
    unit.oncomplete = () => done(asked.result);
    unit.onabort = unit.onerror = () => fail(unit.error);
  });
}

export const read = <T>(name: string): Promise<T | undefined> =>
  within("state", "readonly", (store) => store.get(name) as IDBRequest<T | undefined>);

export const write = (name: string, value: unknown): Promise<unknown> =>
  within("state", "readwrite", (store) => store.put(value, name));

/** What comes of what is held; a change of another tab comes before or after, never between. */
export const change = <T>(name: string, how: (held: T | undefined) => T): Promise<unknown> =>
  within("state", "readwrite", (store) => {
    const held = store.get(name);
    held.onsuccess = () => store.put(how(held.result), name);
    return held;
  });

export const all = <T>(room: Room, most?: number): Promise<T[]> =>
  within(room, "readonly", (store) => store.getAll(null, most) as IDBRequest<T[]>);

export const put = (room: Room, value: unknown): Promise<unknown> =>
  within(room, "readwrite", (store) => store.put(value));

/**
 * Store what the inbox shows; what was read stays read, however often and by whatever way it comes.
 *
 * @param whose - the person whom it is for: nothing is stored where somebody else sits by now. A
 *   logout changes the person and then empties the room, so it is before this or after it.
 */
export const keep = <T extends { id: string; read?: boolean | undefined }>(
  item: T,
  whose?: string | null,
): Promise<unknown> =>
  within(
    "inbox",
    "readwrite",
    (store, unit) => {
      const held = store.get(item.id);
      const sits = unit.objectStore("state").get("who");
      sits.onsuccess = () => {
        if (whose === undefined || whose === (sits.result?.id ?? null))
          store.put({ ...item, read: item.read || !!held.result?.read });
      };
      return held;
    },
    "state",
  );

/** It was read; what is no longer there stays away. */
export const mark = (id: string): Promise<unknown> =>
  within("inbox", "readwrite", (store) => {
    const held = store.get(id);
    held.onsuccess = () => held.result && store.put({ ...held.result, read: true });
    return held;
  });

/** Remove some rows, or all of them. */
export const drop = (room: Room, ids?: readonly string[]): Promise<unknown> =>
  within<unknown>(room, "readwrite", (store) => {
    if (!ids) return store.clear();
    for (const id of ids) store.delete(id);
    return store.count();
  });
