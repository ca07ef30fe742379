/** `<clarion-inbox>`: a bell, how much is unread, and what was sent; live, and in every tab. */

import type { ClarionInboxElement, InboxLabels, InboxSource } from "../public";
import { type Who, web } from "../wire/api";
import { unvouched } from "../wire/registering";
import { all, drop, keep, mark, read, write } from "../wire/store";
import { type Item, listen } from "./live";
import { type Message, follow } from "./sse";
import { STYLE } from "./style";

const MOST = 100;
const LABELS: InboxLabels = {
  inbox: "Notifications",
  empty: "Nothing yet.",
  unread: "{n} unread",
  allRead: "Mark all as read",
};

/** Items by id, newest first; what was read stays read. */
export function merge(held: Item[], come: Item[]): Item[] {
  const by = new Map(held.map((item) => [item.id, item]));
  for (const item of come) by.set(item.id, { ...item, read: item.read || by.get(item.id)?.read });
  return [...by.values()].sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
}

/** What came from outside, or nothing where it is no item. */
export function item(value: unknown): Item | undefined {
  const said = (value ?? {}) as Record<string, unknown>;
  const at = typeof said.at === "string" ? Date.parse(said.at) : Number(said.at);
  if (typeof said.id !== "string" || typeof said.title !== "string" || !(at >= 0)) return undefined;
  const text = (field: unknown) => (typeof field === "string" ? field : undefined);
  return {
    id: said.id,
    title: said.title,
    body: text(said.body),
    image: web(said.image, location.href),
    link: web(said.link, location.href),
    at,
    read: said.read === true,
  };
}

function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  part: string,
  text = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.setAttribute("part", part);
  made.textContent = text;
  return made;
}

export class ClarionInbox extends HTMLElement implements ClarionInboxElement {
  #labels = LABELS;
  #source: InboxSource = {};
  #items: Item[] = [];
  #tabs: BroadcastChannel | undefined;
  /** Ends what the source brings. */
  #stop: AbortController | undefined;
  /** Ends what is read live. */
  #live: AbortController | undefined;
  /** Whose list it is; undefined: not looked up yet. */
  #who: string | null | undefined;
  #bell = make("button", "bell");
  #count = make("span", "count");
  #panel = make("div", "panel");
  #list = make("ul", "list");
  #title = make("h2", "title");
  #allRead = make("button", "all-read");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#bell.append(this.#count);
    this.#bell.setAttribute("aria-expanded", "false");
    this.#panel.hidden = true;
    this.#panel.setAttribute("role", "region");
    const head = make("header", "head");
    head.append(this.#title, this.#allRead);
    this.#panel.append(head, this.#list);
    root.append(this.#bell, this.#panel);
    this.#bell.onclick = () => this.toggle();
    this.#allRead.onclick = () => void this.markRead();
    root.addEventListener("keydown", (event) => {
      if ((event as KeyboardEvent).key === "Escape" && !this.#panel.hidden) {
        this.toggle(false);
        this.#bell.focus();
      }
    });
  }

  connectedCallback(): void {
    this.#tabs = new BroadcastChannel("clarion");
    this.#tabs.onmessage = ({ data }) => {
      void this.#load();
      // Another person, perhaps: whose list it is is looked up anew.
      if (data === "state") void this.#start(false);
    };
    document.addEventListener("click", this.#outside);
    this.#draw(); // a bell with a name and no count, until it is known
    void this.#load();
    void this.#start();
  }

  disconnectedCallback(): void {
    this.#tabs?.close();
    this.#stop?.abort();
    this.#live?.abort();
    document.removeEventListener("click", this.#outside);
  }

  /** Words in the person's language. */
  set labels(labels: Partial<InboxLabels>) {
    this.#labels = { ...LABELS, ...labels };
    this.#draw();
  }

  set source(source: InboxSource) {
    this.#source = source;
    if (this.isConnected) void this.#start();
  }

  get unread(): number {
    return this.#items.filter((item) => !item.read).length;
  }

  toggle(open = this.#panel.hidden): void {
    this.#panel.hidden = !open;
    this.#bell.setAttribute("aria-expanded", String(open));
    if (open) this.#draw(); // times since have passed
  }

  /** Mark one as read, or all. */
  async markRead(id?: string): Promise<void> {
    const changed = this.#items.filter((item) => !item.read && (!id || item.id === id));
    for (const item of changed) await mark(item.id);
    await this.#load(true);
  }

  readonly #outside = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.toggle(false);
  };

  /**
   * Read for whoever sits here; what was begun for another ends, and what it still brings is not
   * stored.
   *
   * @param anew - the source too, though the person is the same.
   */
  async #start(anew = true): Promise<void> {
    const whose = (await read<Who>("who"))?.id ?? null;
    if (!this.isConnected) return; // taken off the page meanwhile: nobody would stop what starts now
    const before = this.#who;
    this.#who = whose;
    if (this.hasAttribute("live")) {
      this.#live?.abort();
      const { signal } = (this.#live = new AbortController());
      // As below: one tab reads, the others see what it stores.
      void navigator.locks
        .request("clarion-live", { signal }, () => this.#listen(signal))
        .catch(() => undefined); // stopped while it waited for its turn
    }
    if (!anew && whose === before) return;
    this.#stop?.abort();
    // After a logout a site's own source may still speak of the one who left: only the site knows.
    if (!anew && whose === null) return;
    const { signal } = (this.#stop = new AbortController());
    const { missed, stream } = this.#source;
    if (missed) {
      // What can't be asked for now is asked for at the next start.
      void missed().then(
        (items) => (signal.aborted ? undefined : this.#take(items, whose)),
        (error) => console.warn("clarion:", error),
      );
    }
    if (stream) {
      const name = "cursor:" + stream.url;
      // One tab reads the stream; when it is closed another goes on from its cursor.
      void navigator.locks
        .request("clarion-stream:" + stream.url, { signal }, async () => {
          const held = await read<{ whose: string | null; id: string }>(name);
          let cursor = held?.whose === whose ? held.id : "";
          let last: Promise<unknown> = Promise.resolve();
          const told = (message: Message): void => {
            last = last.then(async () => {
              if (signal.aborted) return;
              await this.#hear(message, whose);
              await write(name, { whose, id: (cursor = message.id || cursor) });
            });
          };
          await follow(stream, () => cursor, told, signal);
        })
        .catch(() => undefined); // stopped while it waited for its turn
    }
  }

  /** Read what is sent to the person; what fails is tried again, with pauses that grow. */
  async #listen(stop: AbortSignal): Promise<void> {
    for (let wait = 5_000; !stop.aborted; wait = Math.min(2 * wait, 300_000)) {
      try {
        return await listen((item, whose) => this.#take([item], whose), stop);
      } catch (error) {
        console.warn("clarion:", error);
        // The page's SDK asks for another token, and says so.
        if (unvouched(error)) this.#tabs?.postMessage({ token: error.token });
      }
      await new Promise((done) => {
        setTimeout(done, wait * (0.5 + Math.random() / 2));
        stop.addEventListener("abort", done, { once: true });
        addEventListener("online", done, { once: true });
      });
    }
  }

  async #hear({ event, data }: Message, whose: string | null): Promise<void> {
    let said: unknown;
    try {
      said = JSON.parse(data);
    } catch {
      return; // not ours
    }
    if (event === "removed") {
      await drop("inbox", [String((said as Item).id)]);
      await this.#load(true);
    } else if (event === "message") await this.#take([said], whose);
  }

  async #take(values: unknown[], whose: string | null): Promise<void> {
    const come = values.map(item).filter((one) => one !== undefined);
    for (const one of come) await keep(one, whose);
    await this.#load(true);
  }

  async #load(tell = false): Promise<void> {
    const sorted = merge([], (await all<unknown>("inbox")).map(item).filter((one) => one !== undefined));
    this.#items = sorted.slice(0, MOST);
    if (sorted.length > MOST) await drop("inbox", sorted.slice(MOST).map((old) => old.id));
    if (tell) this.#tabs?.postMessage("inbox");
    this.#draw();
    this.dispatchEvent(new CustomEvent("unread", { detail: this.unread }));
  }

  #draw(): void {
    const labels = this.#labels;
    const count = this.unread;
    this.#title.textContent = labels.inbox;
    this.#allRead.textContent = labels.allRead;
    this.#allRead.hidden = !count;
    this.#panel.setAttribute("aria-label", labels.inbox);
    const said = count ? ": " + labels.unread.replace("{n}", String(count)) : "";
    this.#bell.setAttribute("aria-label", labels.inbox + said);
    this.#count.textContent = count > 99 ? "99+" : String(count);
    this.#count.hidden = !count;
    this.#list.replaceChildren(...this.#items.map((one) => this.#row(one)));
    if (!this.#items.length) this.#list.append(make("li", "empty", labels.empty));
  }

  #row(one: Item): HTMLElement {
    const row = make("li", one.read ? "item" : "item unread");
    const link = web(one.link, location.href);
    const body = link ? make("a", "link") : make("button", "link");
    if (link) (body as HTMLAnchorElement).href = link;
    body.onclick = () => void this.markRead(one.id);
    body.dir = "auto";
    const words = make("span", "words");
    words.append(make("strong", "heading", one.title));
    if (one.body) words.append(make("span", "body", one.body));
    const time = make("time", "time", ago(one.at, this.lang || navigator.language));
    time.dateTime = new Date(one.at).toISOString();
    words.append(time);
    body.append(words);
    if (one.image) {
      const image = make("img", "image");
      image.src = one.image;
      image.alt = "";
      image.loading = "lazy";
      image.referrerPolicy = "no-referrer";
      body.append(image);
    }
    row.append(body);
    return row;
  }
}

/** How long ago, in the person's language. */
export function ago(at: number, language: string, now = Date.now()): string {
  const seconds = (at - now) / 1000;
  const steps: [Intl.RelativeTimeFormatUnit, number][] = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ];
  const [unit, length] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  return format.format(Math.trunc(seconds / length), unit);
}
