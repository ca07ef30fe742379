/** Opening what was encrypted for this page: RFC 8291 over RFC 8188, by Web Crypto. */

/** What a subscription's messages are encrypted to; the private key never leaves the browser. */
export interface Keys {
  pair: CryptoKeyPair;
  /** The public key, uncompressed: 65 octets. */
  public: Uint8Array<ArrayBuffer>;
  /** The authentication secret: 16 octets. */
  auth: Uint8Array<ArrayBuffer>;
}

const CURVE = { name: "ECDH", namedCurve: "P-256" };
const POINT = 65;
/** Salt, record size, length of the key's id (RFC 8188 section 2.1). */
const LEAD = 16 + 4 + 1;

const text = (said: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(said);

export async function generate(): Promise<Keys> {
  const pair = await crypto.subtle.generateKey(CURVE, false, ["deriveBits"]);
  return {
    pair,
    public: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
    auth: crypto.getRandomValues(new Uint8Array(16)),
  };
}

/**
 * The message; rejects for what was not encrypted to these keys.
 *
 * @param body - `aes128gcm` in one record, as RFC 8291 section 4 demands.
 */
export async function open(body: Uint8Array<ArrayBuffer>, keys: Keys): Promise<string> {
  const { subtle } = crypto;
  const salt = body.slice(0, 16);
  const sender = body.slice(LEAD, LEAD + POINT);
  if (body[LEAD - 1] !== POINT) throw new Error("no public key in the message");
  const shared = await subtle.deriveBits(
    { name: "ECDH", public: await subtle.importKey("raw", sender, CURVE, false, []) },
    keys.pair.privateKey,
    256,
  );
  const info = new Blob([text("WebPush: info\0"), keys.public, sender]);
  const material = await derive(shared, keys.auth, new Uint8Array(await info.arrayBuffer()), 32);
  const key = await derive(material, salt, text("Content-Encoding: aes128gcm\0"), 16);
  const iv = await derive(material, salt, text("Content-Encoding: nonce\0"), 12);
  const plain = new Uint8Array(
    await subtle.decrypt(
      { name: "AES-GCM", iv },
      await subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]),
      body.slice(LEAD + POINT),
    ),
  );
  // The last record ends in a 2 and any number of zeros (RFC 8188 section 2).
  let end = plain.length - 1;
  while (plain[end] === 0) end--;
  if (plain[end] !== 2) throw new Error("the message is cut");
  return new TextDecoder().decode(plain.subarray(0, end));
}

/** HKDF with SHA-256 (RFC 5869). */
async function derive(
  material: ArrayBuffer,
  salt: Uint8Array<ArrayBuffer>,
  info: Uint8Array<ArrayBuffer>,
  octets: number,
): Promise<ArrayBuffer> {
  const key = await crypto.subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
  return crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt, info },
    key,
    octets * 8,
  );
}
