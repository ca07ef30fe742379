/** Server-sent events (WHATWG HTML, 9.2) over `fetch`, because `EventSource` sends no key. */

export interface Message {
  event: string;
  data: string;
  /** The cursor to resume by. */
  id: string;
}

/** A reader of the stream's text, in pieces of any size. */
export function reader(told: (message: Message) => void, retry: (ms: number) => void) {
  let rest = "";
  let id = "";
  let event = "";
  let data: string[] = [];
  function line(text: string): void {
    if (!text) {
      if (data.length) told({ event: event || "message", data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (!colon) return; // a comment
    const name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (name === "data") data.push(value);
    else if (name === "event") event = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) retry(Number(value));
  }
  return (piece: string): void => {
    rest += piece;
    // A CR at the end may be half of a CRLF: it waits for the next piece.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const text of lines) line(text);
  };
}

export interface Stream {
  url: string;
  headers?: Record<string, string>;
}

/**
 * Read a stream for ever: resumed by the last cursor, with pauses that grow while it fails.
 *
 * @param cursor - where to go on: the id of the last event that is safe, sent as `Last-Event-ID`.
 * @returns the status with which the server refused it for good; 0 when it was stopped.
 */
export async function follow(
  stream: Stream,
  cursor: () => string,
  told: (message: Message) => unknown,
  stop: AbortSignal,
): Promise<number> {
  let pause = 2_000;
  let failed = 0;
  while (!stop.aborted) {
    try {
      const answer = await fetch(stream.url, {
        headers: {
          Accept: "text/event-stream",
          ...(cursor() && { "Last-Event-ID": cursor() }),
          ...stream.headers,
        },
        cache: "no-store",
        credentials: "omit",
        signal: stop,
      });
      // What the server will not give us now it will not give us later (a 429 or 5xx it may).
      if (answer.status === 204 || (answer.status >= 400 && answer.status < 500 && answer.status !== 429))
        return answer.status;
      if (answer.ok && answer.body) {
        const read = reader(
          (message) => {
            failed = 0;
            told(message);
          },
          (ms) => (pause = ms),
        );
        const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
          const { done, value } = await pieces.read();
          if (done) break;
          read(value);
        }
      }
    } catch {
      // The network, or the stop: what comes next says which.
    }
    const wait = Math.min(pause * 2 ** failed++, 300_000) * (0.5 + Math.random() / 2);
    await new Promise((done) => {
      setTimeout(done, wait);
      stop.addEventListener("abort", done, { once: true });
      addEventListener("online", done, { once: true });
    });
  }
  return 0;
}
