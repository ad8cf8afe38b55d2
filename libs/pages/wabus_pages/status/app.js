// The status page: signs in, follows the health, draws what is known, and does what the buttons ask.

import * as address from "../shared/address.js";
import { announce, fallSilent } from "../shared/announce.js";
import { Refused, SignedOut, Unreachable } from "../shared/api.js";
import { copy } from "../shared/copy.js";
import { askToReplace, confirmed } from "../shared/dialog.js";
import { focusOn, h, icon, keepingFocus, show } from "../shared/dom.js";
import * as session from "../shared/session.js";
import { follow, tryNow } from "../shared/stream.js";
import { exact, showExact } from "../shared/time.js";
import { dismiss, dismissAll, toast } from "../shared/toasts.js";
import { isolated, named, number, plural } from "../shared/words.js";
import { accountList, areRows } from "./accounts.js";
import { historyCard } from "./history.js";
import { news, seen } from "./news.js";
import { overview, shortTitle, spokenTitle } from "./overview.js";
import * as setup from "./setup.js";
import { accounts, askHistory, change, check, connect, disconnect, failed, forgetAll, forgetFailure, onChange, poll, pollHealth, refresh, settleFailures, state, sync, takeHealth, welcome } from "./store.js";
import { begin as beginTemplates, drawTemplates, forgetFilters, showTemplates } from "./templates.js";
import { byNeed } from "./verdict.js";

const LIVE = {
  connecting: { kind: "plain", text: "Connecting…" },
  live: { kind: "good", text: "Live" },
  polling: { kind: "good", text: "Checking every 3 s" },
  out: { kind: "plain", text: "Not signed in" },
  lost: { kind: "bad", text: "Connection lost, retrying" },
};
const CLOCK = 15_000; // ms until relative times are written anew
const FRESHNESS = 60_000; // ms between questions how far behind the answers are, while somebody looks
const BEHIND = 15_000; // ms that an answer may be behind before the page says so
const UNREACHABLE = "We can't be reached right now. Please try again in a moment.";

const $ = (id) => document.getElementById(id);
const opened = new Set(); // accounts whose rows are open
let allHistory = false;
let toldUnknown = false;
let told = null; // what was said of the page before
let toFocus = null; // what gets the focus once it is there, for a person has asked for it
let stopFollowing = () => {};

async function start() {
  $("late").remove();
  onChange(soon);
  const { setup: given, connected, connect: wantsToConnect } = takeAddress();
  beginTemplates();
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  addEventListener("pageshow", ({ persisted }) => persisted && backAgain());
  addEventListener("hashchange", () => location.hash.includes("token=") && location.reload());
  session.onSignedOutElsewhere(() => {
    setup.cancel();
    askToSignIn("You have signed out in another tab. Paste an access token to go on.");
  });
  setInterval(() => document.hidden || soon(), CLOCK);
  setInterval(() => document.hidden || state.live !== "live" || pollHealth().catch(() => {}), FRESHNESS);
  if (given || connected) toFocus = ".welcome h2";
  if (given) setup.begin(given);
  else if (!setup.resume() && /^\d{1,30}$/.test(connected ?? "")) welcome([connected]);
  for (;;) {
    try {
      if (!(await session.open(askToReplace))) return askToSignIn();
      begun();
      return wantsToConnect ? await askToConnect("another").catch(() => {}) : undefined;
    } catch {
      change({ live: "lost" });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

/** What the address asks for once, which it then no longer says. */
function takeAddress() {
  const given = new URLSearchParams(location.search);
  const [connected, wantsToConnect] = [given.get("connected"), given.has("connect")];
  const hash = new URLSearchParams(location.hash.slice(1));
  const sealed = hash.get("setup");
  hash.delete("setup");
  address.write({ connected: null, connect: null });
  if (sealed) history.replaceState(history.state, "", location.pathname + location.search + (hash.size ? `#${hash}` : ""));
  for (const id of (given.get("open") ?? "").split(",").filter(Boolean)) opened.add(id);
  return { setup: sealed, connected, connect: wantsToConnect };
}

function begun() {
  change({ live: "connecting" });
  keepingFocus(() => {
    $("sign-in").hidden = true;
    draw();
  });
  stopFollowing = follow({
    poll,
    onHealth: (health) => (setup.keepOnlyFor(health.org_id), takeHealth(health)),
    onState: (live) => state.live === live || change({ live }),
    onSignedOut: () => askToSignIn("Your session has ended. Paste a new access token to go on."),
  });
  refresh().catch(() => {}); // beside the stream, not after it
}

/** The browser shows the page as it was left, as after Back from Meta's dialog: what was under way then is not any more. */
function backAgain() {
  change({ leaving: null });
  tryNow();
}

/**
 * Nothing of an account stays on the screen: whoever looks at it now may be somebody else. A sign-up that is under way is
 * of this browser and goes on, without a name on the screen: a session may end while its person is at Meta.
 */
function askToSignIn(why, { isWrong = false } = {}) {
  stopFollowing();
  session.forget();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("exact").hidePopover();
  told = null;
  allHistory = false;
  opened.clear();
  fallSilent();
  dismissAll();
  $("exact").textContent = "";
  forgetFilters();
  address.write({ open: null });
  $("sign-in").hidden = false;
  forgetAll();
  if (why) $("sign-in-why").textContent = why;
  $("token").setAttribute("aria-invalid", String(isWrong));
  $("token").focus();
}

async function onSubmit(event) {
  event.preventDefault();
  if (event.target.id === "sign-in") return signIn();
  if (event.target.dataset.form === "choice") {
    toFocus = ".welcome h2";
    await setup.choose(event.target);
  }
  if (event.target.method === "dialog") event.target.closest("dialog").close(event.submitter?.value ?? "");
}

async function signIn() {
  session.keep($("token").value);
  $("token").value = "";
  try {
    await pollHealth();
    setup.keepOnlyFor(state.health.org_id);
  } catch (error) {
    if (error instanceof SignedOut) return askToSignIn("This token is not valid. Check that you copied all of it, and that it has not expired.", { isWrong: true });
  }
  begun();
}

async function signInHere() {
  if (await session.signInHere()) begun();
  else askToSignIn("Nobody is signed in by itself here. Paste an access token.");
}

function signOut() {
  $("sign-in-here").hidden = !session.isLocal();
  session.signOut();
  setup.cancel();
  askToSignIn("You are signed out. Paste an access token of your organisation to see its WhatsApp connection.");
}

const ACTIONS = {
  connect: ({ button }) => askToConnect(button),
  sync: ({ waba }) => sync(waba),
  check: askMeta,
  disconnect: ({ waba }) => askToDisconnect(waba),
  copy: (_, button) => copyFrom(button),
  time: (_, button) => showExact(button),
  retry: tryNow,
  "copy-details": (_, button) => copyFrom(button, detailsForSupport()),
  "dismiss-toast": ({ id }) => dismiss(id),
  "dismiss-welcome": () => change({ welcome: null }),
  "setup-retry": () => setup.retry(),
  "setup-cancel": () => setup.cancel(),
  "toggle-account": ({ waba }) => toggle(waba),
  "open-account": ({ waba }) => goToAccount(waba),
  "show-templates": ({ status, waba }) => goToTemplates({ status, waba }),
  "retry-templates": () => refresh(),
  "retry-history": askHistory,
  "all-history": () => ((allHistory = true), soon()),
  "sign-in-here": signInHere,
  "sign-out": signOut,
};

async function onClick(event) {
  const button = event.target.closest("[data-action]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  const { action, ...data } = button.dataset;
  if (button.nodeName === "A") event.preventDefault();
  const place = [action, data.button ?? data.waba].filter(Boolean).join(" ");
  forgetFailure(place);
  try {
    await ACTIONS[action](data, button);
  } catch (error) {
    if (error instanceof SignedOut) askToSignIn("Your session has ended. Paste a new access token to go on.");
    else if (error instanceof Refused) failed(place, error.message);
    else if (error instanceof Unreachable) failed(place, UNREACHABLE, whenBack());
    else throw error;
  }
}

/** A condition that holds once the connection has been there again. */
function whenBack() {
  const before = state.health?.checked_at;
  return () => state.live !== "lost" && state.health?.checked_at !== before;
}

async function askMeta() {
  const isIn = await check();
  change({ checkedAt: new Date().toISOString() });
  toast("good", isIn ? "Meta was asked just now; this is what it said." : "Meta is being asked; what it says shows here by itself.");
}

async function copyFrom(button, text) {
  if (text) button.dataset.text = text;
  if (!(await copy(button))) toast("bad", "This browser does not let the page copy. Select the text and copy it yourself.");
  else if (text) toast("good", "Copied. Paste it where you write to support.");
}

/** What support asks for first. Nothing in it is secret. */
function detailsForSupport() {
  const { org_id, checked_at, reasons } = state.health;
  return [
    `Organisation: ${org_id}`,
    `As of: ${exact(checked_at)} (${checked_at})`,
    ...reasons.map(({ code, severity, waba_id, since, message }) => `${severity} ${code}, account ${waba_id ?? "–"}, since ${since ?? "–"}: ${message}`),
  ].join("\n");
}

function toggle(waba_id) {
  opened.delete(waba_id) || opened.add(waba_id);
  address.write({ open: [...opened].join(",") });
  soon();
}

function goToAccount(waba_id) {
  if (areRows(accounts())) opened.add(waba_id);
  address.write({ open: [...opened].join(",") });
  keepingFocus(draw);
  const place = $(`account-${waba_id}`);
  place?.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  const head = place?.querySelector(".row-head") ?? place?.querySelector("h2");
  if (head) focusOn(head, { preventScroll: true });
}

function goToTemplates(filter) {
  showTemplates(filter);
  $("templates").scrollIntoView({ block: "start" });
  focusOn($("templates-title"), { preventScroll: true });
}

async function askToDisconnect(waba_id) {
  const { name } = accounts().find((account) => account.waba_id === waba_id);
  const what = [named(name), " will no longer receive messages here, and its templates can't be used until it is connected again. Nothing is deleted at Meta."];
  if (!(await confirmed("confirm", what))) return;
  announce(`${isolated(name)} is being disconnected.`); // before it is, or who listens hears the end first
  await disconnect(waba_id);
  ending.set(waba_id, name);
  change({ welcome: null });
  tryNow();
}

/** Whoever was signed in by a link is told to whom an account would go. */
async function askToConnect(button) {
  const what = ["A link has signed you in to the organisation “", named(session.claims()?.orgId ?? ""), "”. The account that you choose at Meta will be connected to it, and its people will see its messages and templates."];
  if (session.isLinked() && !(await confirmed("consent", what))) return;
  await connect(button);
}

const ending = new Map(); // accounts that are being disconnected, with their names

function tellOfEnded(all) {
  for (const [waba_id, name] of ending) {
    if (all.some((account) => account.waba_id === waba_id)) continue;
    ending.delete(waba_id);
    toast("good", named(name), " is disconnected.");
  }
}

let waiting = false;

function soon() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    keepingFocus(draw);
  });
}

function draw() {
  const all = accounts().sort(byNeed);
  settleFailures();
  const isOut = !$("sign-in").hidden;
  const isAdmin = session.isAdmin();
  drawTop(isOut);
  show($("overview"), isOut ? setup.setupCard(state.setup, { isSignedIn: false }) : overview(state, all, { isAdmin }));
  show($("accounts"), accountList(state, all, { isAdmin, opened }));
  show($("history"), historyCard(state, all, { all: allHistory }));
  drawTemplates(state.templates, all, { failed: state.templatesFailed });
  $("skip-templates").hidden = !all.length;
  const short = !isOut && state.health && shortTitle(all);
  document.title = `${short ? `${short} · ` : ""}WhatsApp connection`;
  if (!isOut) tell(all);
  if (!isOut && state.health) tellOfEnded(all);
  const heading = toFocus && document.querySelector(toFocus);
  if (!heading) return;
  toFocus = null;
  focusOn(heading);
}

function drawTop(isOut) {
  const { live, behind } = state;
  document.body.classList.toggle("stale", live === "lost");
  const isBehind = live !== "lost" && behind > BEHIND;
  const { kind, text } = isBehind ? { kind: "wait", text: `Live, ${number(Math.round(behind / 1000))} s behind` } : LIVE[live];
  $("live").className = `live ${kind}`;
  show($("live"), h("i", { "aria-hidden": "true" }), h("span", {}, text),
    live === "lost" ? h("button", { class: "button text", type: "button", "data-action": "retry" }, "Try now") : null);
  show($("organisation"), state.health ? ["Organisation ", named(state.health.org_id)] : null);
  $("sign-out").hidden = isOut || live === "connecting";
  $("to-insights").hidden = $("sign-out").hidden || !state.health?.wabas.some(({ connected }) => connected);
  $("to-inbox").hidden = $("to-insights").hidden || !session.mayRead();
}

/** Tell who listens what changed: each reason that came or went, and how all stands now. */
function tell(all) {
  if (!state.health) {
    if (state.live === "lost" && !toldUnknown) announce("How your WhatsApp connection is doing can't be shown right now.");
    toldUnknown = state.live === "lost";
    return;
  }
  const now = seen({ live: state.live, title: spokenTitle(all), reasons: state.health.reasons.filter(({ code }) => code !== "not_connected"), syncs: all.length && state.syncs ? syncSentence(all) : null });
  for (const sentence of news(told, now)) announce(sentence);
  told = now;
}

function syncSentence(all) {
  if (all.some((account) => account.sync.status === "syncing")) return "Templates are being compared with Meta.";
  if (all.some((account) => account.sync.status === "failed")) return "Templates could not be compared with Meta.";
  const [approved, total] = ["approved", "total"].map((key) => all.reduce((sum, account) => sum + account.sync[key], 0));
  return `${number(approved)} of ${plural(total, "template")} approved.`;
}

start();
