/* Clarion types 0.1.0, Apache-2.0 */
/** What a site sees of the SDK. */

/** The words of the question before the browser's own, in one language. */
export interface PrimerWords {
  title: string;
  body?: string;
  allow: string;
  later: string;
  /** Category -> what it is called. Shown as boxes to tick. */
  categories?: Record<string, string>;
  /** Version of this text, for the consent ledger. */
  version?: string;
}

/** Language (BCP 47) -> words. The first is for those whose language is missing. */
export type ByLanguage<T> = Record<string, T>;

export interface Options {
  /** The platform's address, such as `https://push.example.com`. */
  api: string;
  /** An API key of scope `device`. */
  key: string;
  /** `public.public_key` of the app's Web Push credential. */
  vapid: string;
  /** The worker's address on this origin; `/sw.js` unless given. */
  worker?: string;
  /** The worker's scope; `/` unless given. */
  scope?: string;
  /** The question that comes first; `false`: ask the browser at once. */
  primer?: ByLanguage<PrimerWords> | false;
  /** What to show for a push that says nothing (userVisibleOnly). */
  fallback?: ByLanguage<{ title: string; body?: string }>;
  /** Languages in order of preference; those of the browser unless given. */
  languages?: readonly string[];
  /** Days until the question may come again, after each "not now". */
  backOffDays?: readonly number[];
  /**
   * The platform refuses the token of `login`, mostly because it has expired: a new one from your
   * server, or nothing where there is none. May come up at any time, as long as somebody is logged in.
   */
  onTokenExpired?: (externalId: string) => Promise<string | null | undefined>;
  /** Icon of notifications that name none. */
  icon?: string;
  /** Monochrome badge of notifications that name none. */
  badge?: string;
}

/** How asking ended. `quiet`: the browser may have hidden its question; point to the address bar. */
export type Answer = "granted" | "denied" | "dismissed" | "later" | "quiet" | "unsupported";

export interface State {
  supported: boolean;
  /** Why not: `install` on iPhones and iPads, where only installed web apps get pushes. */
  why?: "install" | "browser";
  permission: NotificationPermission;
  subscribed: boolean;
  /** External id of whoever is logged in. */
  who: string | null;
  /** Until when the question stays away (milliseconds since 1970). */
  later?: number;
}

/** What people do, told to the listeners of `on`. */
export interface Events {
  /** A push arrived. */
  push: Shown;
  /** A notification was clicked; `action` is empty for the notification itself. */
  click: Shown & { action: string };
  /** Permission, subscription or person changed. */
  state: State;
}

export interface Shown {
  message?: string;
  link?: string;
  category?: string;
  thread?: string;
  data?: Record<string, unknown>;
}

export type Frequency = "all" | "daily" | "weekly" | "off";

/** What the person decided. */
export interface Preferences {
  language: string | null;
  opted_out: boolean;
  paused_until: string | null;
  quiet_hours: Record<string, unknown>[];
  categories: {
    slug: string;
    kind: string;
    name: string;
    description: string;
    frequency: Frequency;
    provisional: boolean;
    offered: Frequency[];
  }[];
}

/** What to change; what is absent stays, null clears. */
export interface PreferencesChange {
  categories?: Record<string, Frequency>;
  language?: string | null;
  opted_out?: boolean;
  paused_until?: string | null;
  quiet_hours?: Record<string, unknown>[];
  /** The words that the person saw: the consent ledger keeps them. */
  shown?: { text: string; language?: string; text_version?: string };
}

export type TagValue = string | number | boolean | null | readonly (string | number | boolean)[];

export interface Clarion {
  state(): Promise<State>;
  /**
   * Ask for permission, after a click. The primer comes first, unless the person has said "not
   * now" lately; `force` (behind a button of your own) asks nevertheless.
   */
  ask(how?: { force?: boolean }): Promise<Answer>;
  /** Whoever sits here is `externalId`; `token` is signed by your server (HS256, `sub`, `exp`). */
  login(externalId: string, token?: string): Promise<void>;
  /** Whoever sits here is nobody we know. What was shown here is forgotten. */
  logout(): Promise<void>;
  /** Tags of this browser; null removes one. */
  tag(tags: Record<string, TagValue>): Promise<void>;
  /** Something that people do. Told even if the page closes now or the network is gone. */
  track(name: string, properties?: Record<string, unknown>, value?: number): Promise<void>;
  /** What the person decided; the browser must be subscribed. */
  preferences(): Promise<Preferences>;
  /** Decide: categories, pause, quiet hours, language. */
  prefer(change: PreferencesChange): Promise<Preferences>;
  /** Stop pushes to this browser, until `ask`. */
  unsubscribe(): Promise<void>;
  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): () => void;
}

/** What the npm package exports; a page that loads `/sdk.js` finds it in `window.Clarion`. */
export declare function init(options: Options): Promise<Clarion>;

/** One message of the inbox. */
export interface InboxItem {
  id: string;
  title: string;
  body?: string | undefined;
  image?: string | undefined;
  link?: string | undefined;
  /** RFC 3339, or milliseconds since 1970. */
  at: number | string;
  read?: boolean | undefined;
}

/** Where an inbox learns what neither a push nor the platform's stream brings. */
export interface InboxSource {
  /** What was missed, asked when it starts and when somebody else logs in. */
  missed?: () => Promise<InboxItem[]>;
  /** A stream of events: `message` with an item as JSON, `removed` with its `{id}`. */
  stream?: { url: string; headers?: Record<string, string> };
}

export interface InboxLabels {
  inbox: string;
  empty: string;
  /** `{n}` is the count. */
  unread: string;
  allRead: string;
}

/** `<clarion-inbox>`; the attribute `live` reads what is sent to whoever is logged in. */
export interface ClarionInboxElement extends HTMLElement {
  readonly unread: number;
  /** Words in the person's language. */
  set labels(labels: Partial<InboxLabels>);
  set source(source: InboxSource);
  toggle(open?: boolean): void;
  /** Mark one as read, or all. */
  markRead(id?: string): Promise<void>;
}

declare global {
  interface Window {
    readonly Clarion: { init(options: Options): Promise<Clarion> };
  }
  interface HTMLElementTagNameMap {
    "clarion-inbox": ClarionInboxElement;
  }
}
