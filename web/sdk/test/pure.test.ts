// @ts-nocheck  (node's own modules, whose types we don't install)
import assert from "node:assert/strict";
import { test } from "node:test";
import { pause, pick } from "../src/page/words";
import { octets, sameKey, web } from "../src/wire/api";
import { fresh, made, once, uuid7 } from "../src/wire/ids";
import { verdict } from "../src/wire/queue";
import { generate, open } from "../src/inbox/decrypt";
import { reader } from "../src/inbox/sse";
import { parse } from "../src/worker/payload";

const NOW = Date.UTC(2026, 10, 22, 12);
const MESSAGE = uuid7(NOW - 3_600_000, new Uint8Array(16).fill(7));
const BASE = "https://shop.example/app/";

test("an id of version 7 says when it was made", () => {
  const id = fresh(NOW);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(made(id), NOW);
  assert.equal(made("0b6c7b8e-0000-4000-8000-000000000000"), undefined);
});

test("what happened to a message on a device has one id, whoever tells it and when", async () => {
  const first = await once(MESSAGE, "received", "token", NOW);
  assert.equal(await once(MESSAGE, "received", "token", NOW + 50_000_000), first);
  assert.equal(made(first), made(MESSAGE));
  for (const other of [
    once(MESSAGE, "displayed", "token", NOW),
    once(MESSAGE, "received", "another", NOW),
    once(fresh(NOW), "received", "token", NOW),
  ]) {
    assert.notEqual(await other, first);
  }
});

test("the id is the one that the platform makes, too", async () => {
  // The same in tests/unit/test_event_ids.py: what a push service's receipt tells counts once.
  const message = "01996c7e-5000-7000-8000-000000000007";
  const [token, at] = ["https://push.example.net/a", made(message)];
  assert.equal(await once(message, "received", token, at + 5), "01996c7e-5000-7c03-81ef-4abcf2ff6c7a");
  const late = await once(message, "received", token, at + 8 * 86_400_000);
  assert.equal(late, "019992c4-e000-7c03-81ef-4abcf2ff6c7a");
});

test("the id of what happens to an old message is of the day, not of the message", async () => {
  const old = uuid7(NOW - 60 * 86_400_000, new Uint8Array(16));
  assert.equal(made(await once(old, "opened", "t", NOW)), Date.UTC(2026, 10, 22));
  assert.equal(await once(old, "opened", "t", NOW), await once(old, "opened", "t", NOW + 1));
});

test("only http and https addresses are addresses", () => {
  assert.equal(web("next", BASE), "https://shop.example/app/next");
  assert.equal(web("https://a.example/x", BASE), "https://a.example/x");
  const evil = ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "\tjavascript:alert(1)", "data:text/html,x",
    "blob:https://shop.example/1", "file:///etc/passwd", "vbscript:x", "https://", "", 5, null, {}];
  for (const address of evil) assert.equal(web(address, BASE), undefined, String(address));
});

test("a declared push is read with all that it says", () => {
  const shown = parse(
    JSON.stringify({
      web_push: 8030,
      notification: {
        title: "T", body: "B", navigate: "https://shop.example/o", tag: "g", icon: "/i.png",
        image: "https://x.example/p.jpg", badge: "/b.png", lang: "ar", dir: "rtl", silent: false,
        vibrate: [200, 100], requireInteraction: true, renotify: true, app_badge: "3",
        actions: [{ action: "a", title: "A", icon: "/a.png", navigate: "https://shop.example/a" }],
        data: { message: MESSAGE, data: { order: 1 }, category: "c", thread: "h" },
      },
      app_badge: 3,
      mutable: true,
    }),
    undefined,
    BASE,
  );
  assert.deepEqual(shown.kept, {
    message: MESSAGE, link: "https://shop.example/o", category: "c", thread: "h",
    data: { order: 1 }, links: { a: "https://shop.example/a" },
  });
  assert.equal(shown.badge, 3);
  const { data, ...options } = shown.options;
  assert.deepEqual(data, { clarion: shown.kept });
  assert.deepEqual(options, {
    body: "B", icon: "https://shop.example/i.png", image: "https://x.example/p.jpg",
    badge: "https://shop.example/b.png", tag: "g", renotify: true, requireInteraction: true,
    silent: false, vibrate: [200, 100], dir: "rtl", lang: "ar",
    actions: [{ action: "a", title: "A", icon: "https://shop.example/a.png" }],
  });
});

test("a notification that the browser has declared itself is read the same way", () => {
  const declared = { title: "T", navigate: "https://shop.example/", data: { message: MESSAGE } };
  assert.equal(parse(undefined, declared, BASE).kept.message, MESSAGE);
});

test("garbage is a push that says nothing, never an exception", () => {
  const kinds = [undefined, "", "x", "[]", "3", "null", '{"notification":[]}', '{"notification":{"title":7}}',
    '{"data":"x"}', '{"notification":{"data":null,"actions":{"0":1}}}', '{"app_badge":-1}'];
  for (const text of kinds) {
    const shown = parse(text, undefined, BASE, { icon: "/d.png" });
    assert.equal(shown.title, undefined, text);
    assert.equal(shown.badge, undefined, text);
    assert.equal(shown.options.icon, "/d.png");
  }
});

test("what would make showNotification throw is left out", () => {
  const said = (notification) => parse(JSON.stringify({ notification }), undefined, BASE).options;
  assert.equal(said({ title: "T", renotify: true }).renotify, undefined);
  assert.equal(said({ title: "T", silent: true, vibrate: [1] }).vibrate, undefined);
  assert.equal(said({ title: "T", vibrate: ["x"] }).vibrate, undefined);
  assert.equal(said({ title: "T", dir: "up" }).dir, undefined);
  assert.deepEqual(said({ title: "T", actions: [{ action: 1, title: "x" }, null, "y"] }).actions, []);
});

test("words are found by language, then without the region, then the next language", () => {
  const words = { en: "hello", "pt-BR": "oi", fr: "bonjour", "zh-Hant": "你好" };
  assert.deepEqual(pick(words, ["pt-br"]), ["pt-BR", "oi"]);
  assert.deepEqual(pick(words, ["fr-CA", "en"]), ["fr", "bonjour"]);
  assert.deepEqual(pick(words, ["zh-Hant-TW"]), ["zh-Hant", "你好"]);
  assert.deepEqual(pick(words, ["xx", "fr"]), ["fr", "bonjour"]);
  assert.deepEqual(pick(words, ["xx"]), ["en", "hello"]);
  assert.equal(pick({}, ["en"]), undefined);
});

test("each not now waits longer, and the last pause repeats", () => {
  const days = [1, 7, 30].map((count) => count * 86_400_000);
  const pauses = [1, 2, 3, 4, 9].map((times) => pause(times, [1, 7, 30], NOW) - NOW);
  assert.deepEqual(pauses, [days[0], days[1], days[2], days[2], days[2]]);
});

test("an answer decides what becomes of events", () => {
  const kept = [0, 401, 403, 404, 408, 429, 500, 503].map((status) => verdict(status, true));
  assert.deepEqual([...new Set(kept)], ["keep"]);
  assert.equal(verdict(200, true), "done");
  assert.equal(verdict(422, true), "split");
  assert.equal(verdict(422, false), "done");
});

test("keys are compared as octets, in either alphabet", () => {
  const key = octets("-_8");
  assert.deepEqual([...key], [251, 255]);
  assert.deepEqual([...octets("+/8=")], [251, 255]);
  assert.ok(sameKey(key.buffer, key));
  assert.ok(sameKey(undefined, key));
  assert.ok(!sameKey(new Uint8Array([251, 254]).buffer, key));
});

test("a stream reads the same however it is cut", () => {
  const text = 'retry: 50\r\n: still here\n\nid: 1\nevent: message\ndata: {"a":\ndata: 1}\n\ndata\r\rid: 2\r\ndata: é\r\n\r\nevent: gone\n\n';
  const read = (size) => {
    const told = [];
    const take = reader((message) => told.push(message), (ms) => told.push(ms));
    for (let i = 0; i < text.length; i += size) take(text.slice(i, i + size));
    return told;
  };
  const whole = read(text.length);
  assert.deepEqual(whole, [
    50,
    { event: "message", data: '{"a":\n1}', id: "1" },
    { event: "message", data: "", id: "1" },
    { event: "message", data: "é", id: "2" },
  ]);
  for (let size = 1; size < 12; size++) assert.deepEqual(read(size), whole, `pieces of ${size}`);
});

/** RFC 8291 section 5 and appendix A. */
const RFC8291 = {
  private: "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
  public: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
  auth: "BTBZMqHH6r4Tts7J_aSIgg",
  body:
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz" +
    "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
  plain: "When I grow up, I want to be a watermelon",
};

async function receiver() {
  const point = octets(RFC8291.public);
  const text = (from, to) => Buffer.from(point.slice(from, to)).toString("base64url");
  const jwk = { kty: "EC", crv: "P-256", x: text(1, 33), y: text(33, 65), d: RFC8291.private };
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const privateKey = await crypto.subtle.importKey("jwk", jwk, curve, false, ["deriveBits"]);
  return { pair: { privateKey }, public: point, auth: octets(RFC8291.auth) };
}

test("the message of RFC 8291 is opened, and only by whom it was encrypted to", async () => {
  const keys = await receiver();
  const body = octets(RFC8291.body);
  assert.equal(await open(body, keys), RFC8291.plain);
  await assert.rejects(open(body, await generate()));
  for (let at = 0; at < body.length; at++) {
    if (at >= 16 && at < 20) continue; // the record size is no part of what is sealed
    const changed = body.slice();
    changed[at] ^= 1;
    await assert.rejects(open(changed, keys), String(at));
  }
  for (const length of [0, 15, 21, 86, 87, 103, body.length - 1]) {
    await assert.rejects(open(body.slice(0, length), keys), String(length));
  }
});

/** Encrypt an already padded record to keys, as RFC 8291 has it; the point may be another one. */
async function sealed(padded, keys, point) {
  const curve = { name: "ECDH", namedCurve: "P-256" };
  const { subtle } = crypto;
  const pair = await subtle.generateKey(curve, true, ["deriveBits"]);
  const own = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  const theirs = await subtle.importKey("raw", keys.public, curve, false, []);
  const shared = await subtle.deriveBits({ name: "ECDH", public: theirs }, pair.privateKey, 256);
  const derive = async (material, salt, info, octets) => {
    const key = await subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
    const how = { name: "HKDF", hash: "SHA-256", salt, info };
    return subtle.deriveBits(how, key, octets * 8);
  };
  const info = Buffer.concat([Buffer.from("WebPush: info\0"), keys.public, own]);
  const material = await derive(shared, keys.auth, info, 32);
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const content = Buffer.from("Content-Encoding: aes128gcm\0");
  const key = await subtle.importKey("raw", await derive(material, salt, content, 16), "AES-GCM", false, ["encrypt"]);
  const iv = await derive(material, salt, Buffer.from("Content-Encoding: nonce\0"), 12);
  const body = await subtle.encrypt({ name: "AES-GCM", iv }, key, padded);
  return new Uint8Array(Buffer.concat([salt, Buffer.from([0, 0, 16, 0, 65]), point ?? own, Buffer.from(body)]));
}

test("a padding delimiter other than 2 discards the message", async () => {
  const keys = await generate();
  const padded = (...octets) => new Uint8Array([...Buffer.from("hello"), ...octets]);
  assert.equal(await open(await sealed(padded(2), keys), keys), "hello");
  assert.equal(await open(await sealed(padded(2, 0, 0, 0), keys), keys), "hello");
  for (const end of [[], [0], [1], [3], [255, 0], [2, 1], [1, 0, 0]]) {
    await assert.rejects(open(await sealed(padded(...end), keys), keys), String(end));
  }
  for (const nothing of [[], [0], [0, 0]]) {
    await assert.rejects(open(await sealed(new Uint8Array(nothing), keys), keys));
  }
});

test("a sender's key that is no point of the curve is refused", async () => {
  const keys = await generate();
  const point = new Uint8Array(65).fill(1).fill(4, 0, 1);
  const body = await sealed(new Uint8Array([2]), keys, point);
  await assert.rejects(open(body, keys), { name: "DataError" });
});

test("every subscription has a key pair and 16 random octets of its own", async () => {
  const [one, other] = [await generate(), await generate()];
  for (const keys of [one, other]) {
    assert.equal(keys.auth.length, 16);
    assert.equal(keys.public.length, 65);
    assert.equal(keys.pair.privateKey.extractable, false);
  }
  assert.notDeepEqual(one.auth, other.auth);
  assert.notDeepEqual(one.public, other.public);
});
