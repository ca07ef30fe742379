/** Names of events: what makes the API count each of them once. */

const DAY = 86_400_000;
/** An event's id says when it was made; the API refuses what claims to be weeks old. */
const FRESH = 7 * DAY;

/** 16 octets as a UUID of version 7 (RFC 9562 section 5.7) with the given milliseconds. */
export function uuid7(at: number, octets: Uint8Array): string {
  const bytes = octets.slice(0, 16);
  for (let i = 0; i < 6; i++) bytes[i] = Math.floor(at / 2 ** (40 - 8 * i)) % 256;
  bytes[6] = (bytes[6]! & 15) | 112;
  bytes[8] = (bytes[8]! & 63) | 128;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** An id that nobody else has. */
export const fresh = (at: number): string => uuid7(at, crypto.getRandomValues(new Uint8Array(16)));

/** Milliseconds that a UUID of version 7 names; undefined for any other text. */
export function made(id: string): number | undefined {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/i.test(id)
    ? parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
    : undefined;
}

/**
 * The one id of "this happened to this message on this device": the same in every tab, in a worker
 * that was started again, and for a push that came twice.
 */
export async function once(message: string, what: string, token: string, at: number): Promise<string> {
  const born = made(message);
  const stamp = born && Math.abs(at - born) < FRESH ? born : at - (at % DAY);
  const text = new TextEncoder().encode([message, what, token].join("\n"));
  return uuid7(stamp, new Uint8Array(await crypto.subtle.digest("SHA-256", text)));
}
