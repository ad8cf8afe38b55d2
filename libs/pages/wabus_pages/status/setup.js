// Connecting after Meta's dialog, step by step: what was granted, which of it is wanted, each account for itself.
// An answer that does not come says nothing of what became of it, and the page does not pretend that it does.

import { h, icon } from "../shared/dom.js";
import { Unreachable, call } from "../shared/api.js";
import { badge, named, number, plural } from "../shared/words.js";
import { failure, step as stepItem } from "./controls.js";
import { change, state, welcome } from "./store.js";

const TIMEOUT = 60_000; // ms: a step is some calls to Meta
const AT_ONCE = 3; // accounts that are connected beside each other
const LOOK = [1_000, 2_000, 4_000]; // ms between looks whether an account is connected whose answer did not come

let turn = 0; // grows with each sign-up that begins or ends: what comes of another one is dropped

/** Go on with the sign-up that Meta's dialog came back with. */
export async function begin(sealed) {
  turn += 1;
  remember({ phase: "asking", sealed, accounts: [], org_id: null, results: {}, problem: null });
  await ask();
}

/** Go on where a page that was reloaded or come back to has left off. Returns whether there is anything. */
export function resume() {
  const kept = history.state?.setup;
  if (!kept) return false;
  change({ setup: kept });
  if (kept.phase === "asking") ask();
  else if (kept.phase === "connecting") connectAll(Object.keys(kept.results).filter((waba_id) => kept.results[waba_id].state !== "connected"));
  return true;
}

/** Leave it. Nothing of it is kept, in the history neither. */
export function cancel() {
  turn += 1;
  if (state.setup) remember(null);
}

/** Somebody of this organisation has signed in: what another's people were connecting here is not theirs to see. */
export function keepOnlyFor(org_id) {
  const { setup } = state;
  if (setup?.org_id && setup.org_id !== org_id) cancel();
}

/** Which accounts shall be connected was chosen. */
export function choose(form) {
  const chosen = [...form.querySelectorAll("input:checked")].map((input) => input.value);
  return chosen.length ? connectAll(chosen) : set({ isNone: true });
}

/** Try again what did not work. */
export async function retry() {
  const { phase, results } = state.setup;
  if (phase !== "stopped") return ask();
  return connectAll(Object.keys(results).filter((waba_id) => results[waba_id].state !== "connected"));
}

async function ask() {
  const { sealed } = state.setup;
  const mine = turn;
  set({ phase: "asking", problem: null });
  let found;
  try {
    found = await step("/whatsapp/setup", sealed);
  } catch (error) {
    if (mine !== turn) return;
    return error instanceof Unreachable ? set({ phase: "lost" }) : set({ phase: "failed", problem: problemOf(error) });
  }
  if (mine !== turn) return;
  set({ sealed: found.setup, org_id: found.org_id, accounts: found.accounts });
  if (found.accounts.length === 1) return connectAll([found.accounts[0].waba_id]);
  set({ phase: "choosing" });
}

async function connectAll(waba_ids) {
  const { results } = state.setup;
  const mine = turn;
  set({ phase: "connecting", isNone: false, results: { ...results, ...Object.fromEntries(waba_ids.map((waba_id) => [waba_id, { state: "waiting" }])) } });
  const rest = [...waba_ids];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (rest.length && mine === turn) await connectOne(rest.shift(), mine);
  }));
  if (mine !== turn) return;
  const all = Object.entries(state.setup.results);
  const done = all.filter(([, result]) => result.state === "connected").map(([waba_id]) => waba_id);
  if (done.length) welcome([...new Set([...(state.welcome?.waba_ids ?? []), ...done])]);
  if (done.length === all.length) remember(null);
  else set({ phase: "stopped" });
}

async function connectOne(waba_id, mine) {
  const began = Date.now();
  const note = (result) => mine === turn && set({ results: { ...state.setup.results, [waba_id]: result } });
  note({ state: "connecting" });
  try {
    await step(`/whatsapp/setup/${waba_id}`, state.setup.sealed);
    note({ state: "connected" });
  } catch (error) {
    if (!(error instanceof Unreachable)) return note({ state: "failed", problem: problemOf(error) });
    note({ state: "unknown" });
    note((await isConnected(waba_id, began)) ? { state: "connected" } : { state: "lost" });
  }
}

/** Whether an account is connected since `began`, as far as we can be asked. */
async function isConnected(waba_id, began) {
  for (const delay of LOOK) {
    await new Promise((resolve) => setTimeout(resolve, delay));
    const { connections } = await call("/whatsapp/connection").catch(() => ({ connections: [] }));
    const found = connections.find((connection) => connection.waba_id === waba_id);
    // Clocks differ by less than Meta's dialog takes.
    if (found && new Date(found.connected_at).getTime() > began - 60_000) return true;
  }
  return false;
}

/** It is the sign-up's own cookie that lets it go on, whoever is signed in meanwhile. Throws like `call`. */
function step(path, setup) {
  return call(path, { method: "POST", body: { setup }, timeout: TIMEOUT, anonymous: true });
}

function problemOf({ status, title, message, wayOn }) {
  return { passes: status >= 500, title: title ?? "WhatsApp is not connected yet", text: message, way_on: wayOn ?? "Connect again." };
}

function set(changes) {
  remember({ ...state.setup, ...changes });
}

/** In the history entry, so that a reload goes on; gone when this is over, or somebody signs out. */
function remember(setup) {
  history.replaceState(setup ? { ...history.state, setup } : null, "");
  change({ setup });
}

/** The card of a sign-up that is under way, or null. */
export function setupCard(setup, { isSignedIn }) {
  if (!setup) return null;
  // Signed out, nobody may see which accounts these are; it goes on all the same.
  if (!isSignedIn) return h("section", { class: "card", "data-key": "setup" }, h("p", {}, "Your sign-up at Meta goes on. Sign in to see it."));
  const view = { asking, choosing, connecting: working, stopped: working, lost, failed: refused }[setup.phase];
  return h("section", { class: `card welcome ${setup.phase}`, "data-key": "setup", "aria-busy": String(["asking", "connecting"].includes(setup.phase)) }, view(setup), failure(state, "connect setup"));
}

function asking() {
  return [
    h("h2", {}, "Setting up WhatsApp…"),
    h("p", { class: "lead" }, "You can stay on this page: everything happens by itself."),
    h("ol", { class: "steps" },
      stepItem("Logged in at Meta", "Permission granted", "good"),
      stepItem("Your accounts", "Asking Meta what you gave access to…", "wait"),
      stepItem("Message delivery", "Comes next", "plain")),
  ];
}

function lost() {
  return [
    h("h2", {}, "We did not hear what Meta said"),
    h("p", { class: "lead" }, "The connection broke before an answer came. Nothing was connected so far, and nothing is lost."),
    h("div", { class: "actions start" },
      h("button", { class: "button", type: "button", "data-action": "setup-retry" }, "Try again"),
      h("button", { class: "button quiet", type: "button", "data-action": "setup-cancel" }, "Leave it")),
  ];
}

function refused({ problem }) {
  return [
    h("h2", {}, problem.title),
    h("p", { class: "lead", role: "alert" }, problem.text),
    h("p", {}, problem.passes ? "You need not go back to Meta: try again in a moment." : problem.way_on),
    h("div", { class: "actions start" },
      problem.passes ? h("button", { class: "button", type: "button", "data-action": "setup-retry" }, "Try again") : null,
      h("button", { class: problem.passes ? "button quiet" : "button", type: "button", "data-action": "connect", "data-button": "setup" }, "Connect again"),
      h("button", { class: "button quiet", type: "button", "data-action": "setup-cancel" }, "Close")),
  ];
}

function choosing({ accounts, org_id, isNone }) {
  const fresh = accounts.filter((account) => !account.connected).length;
  return [
    h("h2", {}, "Which accounts shall we connect?"),
    h("p", { class: "lead" }, "You gave access to ", plural(accounts.length, "account"), ". What you tick is connected to the organisation ", named(org_id), "."),
    h("form", { class: "choice", "data-form": "choice" },
      h("fieldset", {},
        h("legend", { class: "unseen" }, "Accounts"),
        accounts.map(({ waba_id, name, connected }) =>
          h("label", { "data-key": waba_id },
            h("input", { type: "checkbox", name: "waba_id", value: waba_id, checked: !connected || !fresh }),
            h("span", { class: "grow" }, named(name, { class: "name" }), h("span", { class: "fine id" }, waba_id)),
            connected ? badge({ kind: "good", glyph: "check", text: "Connected" }) : null))),
      isNone ? h("p", { class: "error", role: "alert" }, "Tick at least one account, or cancel.") : null,
      h("div", { class: "actions start" },
        h("button", { class: "button" }, "Connect these"),
        h("button", { class: "button quiet", type: "button", "data-action": "setup-cancel" }, "Cancel"))),
  ];
}

const LOOKS = {
  waiting: { kind: "plain", glyph: "clock", text: "Waiting" },
  connecting: { kind: "wait", glyph: "pending", text: "Connecting…" },
  unknown: { kind: "wait", glyph: "pending", text: "No answer came; looking whether it is connected…" },
  connected: { kind: "good", glyph: "check", text: "Connected" },
  failed: { kind: "bad", glyph: "cross", text: "Not connected" },
  lost: { kind: "bad", glyph: "alert", text: "Not connected: no answer came" },
};

function working({ accounts, results, phase }) {
  const entries = Object.entries(results);
  const left = entries.filter(([, result]) => result.state !== "connected");
  const nameOf = (waba_id) => accounts.find((account) => account.waba_id === waba_id)?.name ?? waba_id;
  const again = left.filter(([, result]) => ["lost", "failed"].includes(result.state));
  const stopped = entries.length === 1 ? [named(nameOf(entries[0][0])), " is not connected"]
    : `${number(left.length)} of ${plural(entries.length, "account")} ${left.length === 1 ? "is" : "are"} not connected`;
  return [
    h("h2", {}, phase === "connecting" ? "Setting up WhatsApp…" : stopped),
    phase === "connecting"
      ? h("p", { class: "lead" }, "Meta checks our address for each account. You can stay on this page: everything happens by itself.")
      : h("p", { class: "lead" }, "Nothing is lost: you can try again without going back to Meta."),
    h("ul", { class: "progress-list" }, entries.map(([waba_id, result]) => {
      const look = LOOKS[result.state];
      return h("li", { class: look.kind, "data-key": waba_id },
        h("span", { class: "dot" }, icon(look.glyph, ["connecting", "unknown"].includes(result.state) ? "spin" : "")),
        h("span", {}, named(nameOf(waba_id), { class: "name strong" }), h("span", { class: "muted" }, look.text),
          result.problem ? h("span", { class: "error", role: "alert" }, result.problem.passes ? result.problem.text : `${result.problem.text} ${result.problem.way_on}`) : null));
    })),
    phase === "stopped" ? h("div", { class: "actions start" },
      again.length ? h("button", { class: "button", type: "button", "data-action": "setup-retry" }, "Try again") : null,
      h("button", { class: "button quiet", type: "button", "data-action": "connect", "data-button": "setup" }, "Start anew at Meta"),
      h("button", { class: "button quiet", type: "button", "data-action": "setup-cancel" }, "Leave it")) : null,
  ];
}
