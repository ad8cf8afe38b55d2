// The status page: signs in, follows the health, draws what is known, and does what the buttons ask.

import { accountCard } from "./account.js";
import { Refused, SignedOut, Unreachable } from "./api.js";
import { h, icon, show } from "./dom.js";
import { follow, tryNow } from "./live.js";
import { overview } from "./overview.js";
import * as session from "./session.js";
import { accounts, change, connect, disconnect, forgetAll, onChange, poll, state, sync, takeHealth, welcome } from "./store.js";
import { begin, drawTemplates } from "./templates.js";
import { OVERALL, number, plural } from "./words.js";

const LIVE = {
  connecting: { kind: "plain", text: "Connecting…" },
  live: { kind: "good", text: "Live" },
  polling: { kind: "good", text: "Checking every 3 s" },
  out: { kind: "plain", text: "Not signed in" },
  lost: { kind: "bad", text: "Connection lost, retrying" },
};
const CLOCK = 15_000; // ms until relative times are written anew

const $ = (id) => document.getElementById(id);
let said = {};

async function start() {
  const connected = new URLSearchParams(location.search).get("connected");
  if (connected !== null) history.replaceState(null, "", location.pathname + location.hash);
  onChange(soon);
  begin();
  document.addEventListener("click", onClick);
  $("sign-in").addEventListener("submit", onSignIn);
  setInterval(() => document.hidden || draw(), CLOCK);
  if (/^\d{1,30}$/.test(connected ?? "")) welcome(connected);
  for (;;) {
    try {
      return (await session.open()) ? begun() : askToSignIn();
    } catch {
      change({ live: "lost" });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

function begun() {
  change({ live: "connecting" });
  $("sign-in").hidden = true;
  $("overview").hidden = false;
  follow({
    poll,
    onHealth: takeHealth,
    onState: (live) => state.live === live || change({ live }),
    onSignedOut: () => askToSignIn("Your session has ended. Paste a new access token to go on."),
  });
}

function askToSignIn(why) {
  session.forget();
  forgetAll();
  change({ live: "out" });
  if (why) $("sign-in-why").textContent = why;
  $("overview").hidden = true;
  $("sign-in").hidden = false;
  $("token").focus();
}

function onSignIn(event) {
  event.preventDefault();
  session.keep($("token").value);
  $("token").value = "";
  begun();
}

async function onClick({ target }) {
  const button = target.closest("[data-action]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  const { action, waba } = button.dataset;
  try {
    if (action === "connect") await connect();
    else if (action === "sync") await sync(waba);
    else if (action === "disconnect") await askToDisconnect(waba);
    else if (action === "dismiss-welcome") dismiss({ welcome: null });
    else if (action === "dismiss-notice") dismiss({ notice: null });
    else if (action === "retry") tryNow();
  } catch (error) {
    if (error instanceof SignedOut) askToSignIn("Your session has ended. Paste a new access token to go on.");
    else if (error instanceof Refused) change({ notice: { kind: "bad", text: error.message } });
    else if (error instanceof Unreachable) change({ notice: { kind: "bad", text: "We can't be reached right now. Please try again in a moment." } });
    else throw error;
  }
}

/** Take something off the page whose button had the focus. */
function dismiss(changes) {
  change(changes);
  $("main").focus({ preventScroll: true });
}

async function askToDisconnect(waba_id) {
  const { name } = accounts().find((account) => account.waba_id === waba_id);
  $("confirm-text").textContent =
    `${name} will no longer receive messages here, and its templates can't be used until it is connected again. Nothing is deleted at Meta.`;
  const dialog = $("confirm");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  await disconnect(waba_id);
  change({ welcome: null, notice: { kind: "good", text: `${name} is being disconnected.`, until: () => !accounts().some((account) => account.waba_id === waba_id) } });
  tryNow();
}

let waiting = false;

function soon() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    draw();
  });
}

function draw() {
  const all = accounts();
  if (state.notice?.until?.()) state.notice = null;
  const { kind, text } = LIVE[state.live];
  document.body.classList.toggle("stale", state.live === "lost");
  $("live").className = `live ${kind}`;
  show($("live"), h("i", { "aria-hidden": "true" }), h("span", {}, text),
    state.live === "lost" ? h("button", { class: "button text", type: "button", "data-action": "retry" }, "Try now") : null);
  $("organisation").textContent = state.health ? `Organisation ${state.health.org_id}` : "";
  show($("notice"), state.notice && h("div", { class: `card note ${state.notice.kind}` },
    icon(state.notice.kind === "bad" ? "alert" : "check"), h("p", { class: "grow", role: "alert" }, state.notice.text),
    h("button", { class: "close", type: "button", "data-action": "dismiss-notice", "aria-label": "Dismiss" }, icon("cross"))));
  if (!$("sign-in").hidden) return;
  show($("overview"), overview(state, all, session.isAdmin()));
  show($("accounts"),
    all.map((account) => accountCard(account, session.isAdmin())),
    all.length && !state.welcome ? another() : null);
  drawTemplates(state.templates, all);
  const status = all.length && OVERALL[state.health.status];
  document.title = `${status ? `${status.text} · ` : ""}WhatsApp connection`;
  announce(all);
}

function another() {
  return h("p", { class: "another", "data-key": "another" },
    h("button", { class: "button text", type: "button", "data-action": "connect", "aria-disabled": state.connecting ? "true" : null }, "Connect another account"));
}

/** Tell screen readers what changed, in one sentence. */
function announce(all) {
  const now = {
    live: state.live === "lost" ? "Connection lost, retrying." : ["connecting", "out"].includes(state.live) ? undefined : "Connected.",
    status: state.health ? `${OVERALL[state.health.status]?.title ?? state.health.status}.` : undefined,
    sync: all.length ? syncSentence(all) : undefined,
  };
  const news = Object.keys(now).filter((key) => now[key] !== undefined && now[key] !== said[key] && !(key === "live" && said.live === undefined));
  said = { ...said, ...Object.fromEntries(Object.entries(now).filter(([, text]) => text !== undefined)) };
  if (news.length) $("announcer").textContent = news.map((key) => now[key]).join(" ");
}

function syncSentence(all) {
  if (all.some((account) => account.sync.status === "syncing")) return "Templates are being synced.";
  if (all.some((account) => account.sync.status === "failed")) return "The last sync of the templates failed.";
  const [approved, total] = ["approved", "total"].map((key) => all.reduce((sum, account) => sum + account.sync[key], 0));
  return `${number(approved)} of ${plural(total, "template")} approved.`;
}

start();
