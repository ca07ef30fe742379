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

/** One transaction in one room; done when it is committed. */
export async function within<T>(
  room: Room,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => { readonly result: T },
): Promise<T> {
  const base = await open();
  return new Promise<T>((done, fail) => {
    const unit = base.transaction(room, mode);
    const asked = work(unit.objectStore(room));
    unit.oncomplete = () => done(asked.result);
    unit.onabort = unit.onerror = () => fail(unit.error);
  });
}

export const read = <T>(name: string): Promise<T | undefined> =>
  within("state", "readonly", (store) => store.get(name) as IDBRequest<T | undefined>);

export const write = (name: string, value: unknown): Promise<unknown> =>
  within("state", "readwrite", (store) => store.put(value, name));

export const all = <T>(room: Room, most?: number): Promise<T[]> =>
  within(room, "readonly", (store) => store.getAll(null, most) as IDBRequest<T[]>);

export const put = (room: Room, value: unknown): Promise<unknown> =>
  within(room, "readwrite", (store) => store.put(value));

/** Store what the inbox shows; what was read stays read, however often and by whatever way it comes. */
export const keep = <T extends { id: string; read?: boolean | undefined }>(
  item: T,
): Promise<unknown> =>
  within("inbox", "readwrite", (store) => {
    const held = store.get(item.id);
    held.onsuccess = () => store.put({ ...item, read: item.read || !!held.result?.read });
    return held;
  });

/** Remove some rows, or all of them. */
export const drop = (room: Room, ids?: readonly string[]): Promise<unknown> =>
  within<unknown>(room, "readwrite", (store) => {
    if (!ids) return store.clear();
    for (const id of ids) store.delete(id);
    return store.count();
  });
