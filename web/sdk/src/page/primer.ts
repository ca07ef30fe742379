/** The question before the browser's: it can be asked again, the browser's can't. */

import type { PrimerWords } from "../public";

export interface Said<T> {
  /** What `accepted` came to; undefined: "not now". */
  answer: T | undefined;
  /** The categories that were shown, and whether they were ticked. */
  chosen: Record<string, boolean>;
}

const STYLE = `dialog{font:16px/1.5 system-ui,sans-serif;max-width:22rem;border:0;padding:1.5rem;
border-radius:1rem;color:CanvasText;background:Canvas;box-shadow:0 .5rem 2rem #0006;color-scheme:light dark}
::backdrop{background:#0006}h2{font-size:1.2em;margin:0 0 .5rem}p{margin:0 0 1rem}
label{display:block;margin:.3rem 0;padding:.3rem 0}div{display:flex;gap:.5rem;justify-content:end;margin-top:1rem;flex-wrap:wrap}
button{font:inherit;padding:.6rem 1rem;border-radius:.6rem;border:1px solid #8888;background:none;color:inherit;cursor:pointer}
button+button{background:var(--clarion-accent,#0b5cd5);border-color:#0000;color:var(--clarion-accent-text,#fff)}
:focus-visible{outline:3px solid var(--clarion-accent,#0b5cd5);outline-offset:2px}`;

/**
 * Show it; text only ever becomes text. Style it from outside by `--clarion-accent`.
 *
 * @param accepted - called inside the click: Safari lets nothing later ask for permission.
 */
export function primer<T>(
  words: PrimerWords,
  language: string,
  accepted: () => T,
): Promise<Said<T>> {
  const make = <K extends keyof HTMLElementTagNameMap>(name: K, text = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };
  const host = make("div");
  const root = host.attachShadow({ mode: "open" });
  // A constructed sheet needs no `unsafe-inline` in the site's policy.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const dialog = make("dialog");
  dialog.lang = language;
  dialog.dir = "auto";
  const title = make("h2", words.title);
  title.id = "t";
  dialog.setAttribute("aria-labelledby", "t");
  dialog.append(title);
  if (words.body) dialog.append(make("p", words.body));
  const boxes = Object.entries(words.categories ?? {}).map(([slug, text]) => {
    const label = make("label");
    const box = make("input");
    box.type = "checkbox";
    label.append(box, " " + text);
    dialog.append(label);
    return [slug, box] as const;
  });
  const later = make("button", words.later);
  const allow = make("button", words.allow);
  const row = make("div");
  row.append(later, allow);
  dialog.append(row);
  root.append(dialog);
  document.body.append(host);
  return new Promise((done) => {
    // Escape and everything else that closes it is "not now".
    let answer: T | undefined;
    dialog.onclose = () => {
      host.remove();
      done({ answer, chosen: Object.fromEntries(boxes.map(([slug, box]) => [slug, box.checked])) });
    };
    later.onclick = () => dialog.close();
    allow.onclick = () => {
      answer = accepted();
      dialog.close();
    };
    dialog.showModal();
    allow.focus();
  });
}
