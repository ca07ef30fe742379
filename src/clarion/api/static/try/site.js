// The sample site. It uses the public API and the SDK, as any site can.
"use strict";

const byId = (id) => document.getElementById(id);
const DAY = 86_400_000;
const KEPT = "clarion-try";

async function call(key, method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `${answer.status} ${answer.statusText}`);
  return said;
}

/** Text only ever becomes text. */
function tell(text) {
  const row = document.createElement("li");
  const words = document.createElement("span");
  words.textContent = text;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  row.append(words, time);
  byId("log").append(row);
  byId("story").hidden = false;
  row.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function complain(error) {
  byId("problem").textContent = error ? error.message : "";
  byId("problem").hidden = !error;
}

/** From an admin key to what the page needs: a VAPID pair, and two keys that open little. */
async function prepare(admin) {
  const { items } = await call(admin, "GET", "/v1/credentials");
  let vapid = items.find((one) => one.network === "webpush");
  vapid ??= await call(admin, "POST", "/v1/credentials/webpush:generate", {
    subject: "mailto:push@example.com",
    site: `${location.origin}/try`,
  });
  const until = new Date(Date.now() + DAY).toISOString();
  const make = (scope) =>
    call(admin, "POST", "/v1/keys", { scope, name: "sample site", expires_at: until });
  const [device, send] = await Promise.all([make("device"), make("send")]);
  const kept = {
    vapid: vapid.public.public_key,
    device: device.key,
    send: send.key,
    who: `try-${crypto.randomUUID()}`,
    until: Date.parse(until),
  };
  localStorage.setItem(KEPT, JSON.stringify(kept));
  return kept;
}

/** The key after `#` never leaves the browser, and does not stay in its history. */
function keyOfAddress() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) history.replaceState(null, "", location.pathname);
  return key;
}

function remembered() {
  const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
  return kept && kept.until > Date.now() ? kept : null;
}

/** A platform that was made anew since knows none of what is remembered. */
async function resume(kept) {
  const headers = { Authorization: `Bearer ${kept.send}` };
  const { status } = await fetch("/v1/messages?limit=1", { headers });
  if (status !== 401) return start(kept);
  localStorage.removeItem(KEPT);
  byId("key-form").hidden = false;
}

async function start(kept) {
  byId("key-form").hidden = true;
  byId("steps").hidden = false;
  const clarion = await Clarion.init({
    api: location.origin,
    key: kept.device,
    vapid: kept.vapid,
    icon: "/try/icon.svg",
    primer: {
      en: {
        title: "One push, from you to you",
        body: "Your browser asks next. Nothing is sent that you don't send yourself.",
        allow: "Go on",
        later: "Not now",
      },
      de: {
        title: "Eine Nachricht, von dir an dich",
        body: "Gleich fragt dein Browser. Es kommt nur, was du selbst schickst.",
        allow: "Weiter",
        later: "Jetzt nicht",
      },
      fr: {
        title: "Une notification, de vous à vous",
        body: "Votre navigateur va vous le demander. Rien n'est envoyé que vous n'envoyiez vous-même.",
        allow: "Continuer",
        later: "Plus tard",
      },
    },
    fallback: { en: { title: "Clarion", body: "Something is new." } },
  });
  clarion.on("state", show);
  clarion.on("push", () => tell("The push arrived in this browser"));
  clarion.on("click", ({ action }) => tell(action ? `You chose “${action}”` : "You opened it"));

  function show(state) {
    const ready = state.subscribed;
    byId("allow").hidden = ready;
    byId("allow").disabled = !state.supported || state.permission === "denied";
    byId("send").disabled = !ready;
    byId("step-allow").classList.toggle("done", ready);
    byId("allow-state").textContent = ready
      ? "This browser is registered."
      : !state.supported
        ? state.why === "install"
          ? "Add this page to your home screen first: here only installed apps get pushes."
          : "This browser knows no push, or the address is neither https nor localhost."
        : state.permission === "denied"
          ? "You have blocked notifications of this site; allow them in the site's settings."
          : state.permission === "granted"
            ? "Allowed. Your browser gets an address from its push service; some need the internet for it."
            : "Your browser will ask you once.";
  }
  byId("allow").onclick = async () => {
    complain();
    try {
      const answer = await clarion.ask({ force: true });
      if (answer === "granted") tell("This browser is registered");
      if (answer === "quiet") byId("allow-state").textContent = "Look for the bell in the address bar.";
      if (answer === "dismissed") byId("allow-state").textContent = "Closed without an answer; try again.";
    } catch (error) {
      complain(error);
    }
  };

  byId("send-form").onsubmit = async (event) => {
    event.preventDefault();
    complain();
    try {
      const { id } = await call(kept.send, "POST", "/v1/messages", {
        to: { users: [kept.who], networks: ["webpush"] },
        title: byId("title").value,
        body: byId("body").value,
        link: `${location.origin}/try`,
        actions: [{ id: "thanks", title: "Thanks" }],
      });
      tell("The platform took it");
      await outcome(kept, id);
    } catch (error) {
      complain(error);
    }
  };

  // Only now: a button that is there and does nothing would be the first thing that people see.
  await clarion.login(kept.who);
  show(await clarion.state());
}

async function outcome(kept, id) {
  for (let tries = 0; tries < 40; tries++) {
    const message = await call(kept.send, "GET", `/v1/messages/${id}`);
    if (message.state === "finished") {
      for (const { outcome, reason } of message.outcomes) {
        tell(outcome === "accepted" ? "Your browser's push service took it" : `${outcome}: ${reason}`);
      }
      return;
    }
    await new Promise((done) => setTimeout(done, 250));
  }
  throw new Error("No outcome yet; the platform goes on trying.");
}

byId("key-form").onsubmit = (event) => {
  event.preventDefault();
  complain();
  prepare(byId("key").value.trim()).then(start).catch(complain);
};

const given = keyOfAddress();
const kept = given ? null : remembered();
if (kept) resume(kept).catch(complain);
else if (given) prepare(given).then(start).catch(complain);
else byId("key-form").hidden = false;
