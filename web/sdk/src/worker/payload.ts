/** From what was pushed to what is shown. Nothing here believes what it reads. */

import { web } from "../wire/api";

/** What a notification remembers for its click, and the page is told. */
export interface Kept {
  message?: string;
  link?: string;
  category?: string;
  thread?: string;
  data?: Record<string, unknown>;
  /** Action -> address. */
  links: Record<string, string>;
}

/** A notification; without a title there was none in the push. */
export interface Shown {
  title?: string;
  options: NotificationOptions & Record<string, unknown>;
  badge?: number;
  kept: Kept;
}

interface Defaults {
  icon?: string | undefined;
  badge?: string | undefined;
}

type Loose = Record<string, unknown>;

const object = (value: unknown): Loose =>
  value && typeof value === "object" && !Array.isArray(value) ? (value as Loose) : {};
const words = (value: unknown): string | undefined =>
  typeof value === "string" && value ? value : undefined;

/** Leave out what is undefined: `exactOptionalPropertyTypes`, and smaller records. */
function present<T extends Loose>(fields: T): T {
  for (const name in fields) if (fields[name] === undefined) delete fields[name];
  return fields;
}

/**
 * Read a push: a Declarative Web Push (`"web_push": 8030`), the same document without that mark,
 * a notification that the browser has declared already, or anything at all.
 *
 * @param declared - `PushEvent.notification` of browsers that read declarations themselves.
 * @param base - what relative addresses are relative to.
 */
export function parse(
  text: string | undefined,
  declared: unknown,
  base: string,
  defaults: Defaults = {},
): Shown {
  let document: Loose = {};
  try {
    document = object(JSON.parse(text ?? ""));
  } catch {
    // Not JSON: shown as a push that says nothing.
  }
  const said = declared ? (declared as Loose) : object(document.notification);
  const { data: own, ...rest } = object(said.data ?? document.data);
  const id = words(rest.message);
  const links: Record<string, string> = {};
  const actions: Loose[] = [];
  for (const one of Array.isArray(said.actions) ? said.actions : []) {
    const { action, title, icon, navigate } = object(one);
    if (!words(action) || !words(title)) continue;
    actions.push(present({ action, title, icon: web(icon, base) }));
    const address = web(navigate, base);
    if (address) links[action as string] = address;
  }
  const kept: Kept = present({
    message: id && /^[0-9a-f-]{36}$/i.test(id) ? id : undefined,
    link: web(rest.link, base) ?? web(said.navigate, base),
    category: words(rest.category),
    thread: words(rest.thread),
    data: own ? object(own) : undefined,
    links,
  }) as Kept;
  const count = Number(document.app_badge ?? said.app_badge);
  const tag = words(said.tag);
  return present({
    title: words(said.title),
    options: present({
      body: words(said.body),
      icon: web(said.icon, base) ?? defaults.icon,
      image: web(said.image, base),
      badge: web(said.badge, base) ?? defaults.badge,
      tag,
      // Without a tag there is nothing to notify anew (Notifications API, 2.4): it would throw.
      renotify: tag && said.renotify === true ? true : undefined,
      requireInteraction: said.requireInteraction === true || said.require_interaction === true,
      silent: typeof said.silent === "boolean" ? said.silent : undefined,
      vibrate: said.silent !== true && pattern(said.vibrate) ? said.vibrate : undefined,
      dir: said.dir === "rtl" || said.dir === "ltr" ? said.dir : undefined,
      lang: words(said.lang),
      timestamp: typeof said.timestamp === "number" ? said.timestamp : undefined,
      actions,
      data: { clarion: kept },
    }),
    badge: Number.isSafeInteger(count) && count >= 0 ? count : undefined,
    kept,
  }) as Shown;
}

const pattern = (value: unknown): boolean =>
  Array.isArray(value) && value.every((step) => Number.isInteger(step) && step >= 0);
