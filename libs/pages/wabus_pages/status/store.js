// What the page knows, and how it gets to know it: the templates again whenever the health says that they changed.

import { Refused, Unreachable, call, callUnlessSame } from "../shared/api.js";
import { upright } from "../shared/words.js";

const PAGE = 500; // templates in one answer
const TEMPLATES_MAX = 10_000;
const PROGRESS = 600; // ms between questions while a sync runs
const ASKED_FOR = 30_000; // ms that a sync asked for may take to show at all
const BOTH_FOLDS = [100, 200, 400, 800, 1_600, 3_200]; // ms between questions until the templates show what the health says
const CATCH_UP = 300; // ms until the templates are asked for again that the health is ahead of
const CATCH_UP_TRIES = 10;
const AFTER_FAILURE = 2_000; // ms until the end of a sync is asked for again that could not be asked for
const WELCOME_FOR = 120_000; // ms that a new connection may take to show
const CHANGES = 100; // changes of health in one answer
const HISTORY_LATER = [1_500, 6_000]; // ms after a change until it is in the history, which is written apart
export const DAYS = 30; // of history that are shown

const NOTHING = {
  health: null,
  behind: null, // ms that the answer was behind Kafka when it was asked for last
  syncs: null, // GET /templates/status
  templates: null,
  templatesFailed: false,
  history: null,
  historyFailed: false,
  live: "connecting",
  leaving: null, // the button that Meta's dialog is being opened for
  checking: false,
  checkedAt: null, // when Meta was asked because somebody here wanted that
  setup: null, // of setup.js
  welcome: null, // the accounts that were connected just now
};

export const state = {
  ...NOTHING,
  asked: new Map(), // by WABA: the syncs asked for here that have not shown as ended
  failures: new Map(), // by button: why what it does was refused
};

let draw = () => {};
let seen = ""; // what the health said of the templates when they were last asked for
let judged = ""; // what the health said of itself when the history was last asked for
let running = null;
let again = false;
let session = 0; // grows each time that somebody signs out

export function onChange(callback) {
  draw = callback;
}

export function change(changes) {
  Object.assign(state, changes);
  draw();
}

/** The connected accounts, each with its health and where its templates are. */
export function accounts() {
  return (state.health?.wabas ?? [])
    .filter((waba) => waba.connected)
    .map((waba) => {
      const known = state.syncs?.accounts.find((account) => account.waba_id === waba.waba_id);
      return { ...waba, name: nameOf(waba), sync: syncOf(waba, known) };
    });
}

/** Take an answer of the health endpoint, whichever way it came. */
export function takeHealth(health) {
  change({ health, behind: health.lag?.ms ?? null });
  const verdict = JSON.stringify([health.status, health.reasons.map(({ code, waba_id }) => [code, waba_id])]);
  if (verdict !== judged) {
    const isFirst = judged === "";
    judged = verdict;
    for (const delay of isFirst ? [0] : HISTORY_LATER) later(delay, askHistory);
  }
  const said = JSON.stringify(
    health.wabas.map(({ waba_id, connected, sync, last_events, templates_needing_attention }) => [
      waba_id, connected, sync, last_events?.template_at, templates_needing_attention,
    ]),
  );
  if (said === seen) return;
  seen = said;
  chase(BOTH_FOLDS);
}

function later(delay, ask) {
  const asker = session;
  setTimeout(() => asker === session && ask(), delay);
}

let chasing = null;

/** Ask until the templates have changed: they are another fold of the same events, and may be a moment behind. */
async function chase([delay, ...rest]) {
  clearTimeout(chasing);
  const [before, asker] = [pages, session];
  try {
    await refresh();
  } catch {
    if (asker !== session) return;
    seen = "";
    if (delay) chasing = setTimeout(() => chase(rest), delay);
    return;
  }
  if (asker !== session) return;
  const changed = pages.length !== before.length || pages.some((page, at) => page !== before[at]);
  clearTimeout(chasing);
  if (!changed && delay) chasing = setTimeout(() => chase(rest), delay);
}

/** Ask for everything once. */
export async function poll() {
  await pollHealth();
  await refresh().catch((error) => {
    // What the templates lack they say themselves.
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
  });
}

/** Ask how all stands, and how far behind the answer is. */
export async function pollHealth() {
  const asker = session;
  const health = await call("/webhook/health/detailed");
  if (asker === session) takeHealth(health);
}

/** Ask for the sync of one account. */
export async function sync(waba_id) {
  state.asked.set(waba_id, { ids: [], until: Date.now() + ASKED_FOR });
  draw();
  try {
    const { sync_ids } = await call("/templates/sync", { method: "POST", body: { waba_id } });
    if (state.asked.has(waba_id)) state.asked.get(waba_id).ids = sync_ids;
  } catch (error) {
    state.asked.delete(waba_id);
    draw();
    throw error;
  }
  await refresh();
}

/** Have Meta asked how all accounts are. Returns whether the answer is in. */
export async function check() {
  change({ checking: true });
  try {
    const { status } = await call("/webhook/health/check", { method: "POST", headers: { Prefer: "wait=15" } });
    await pollHealth();
    return status === "checked";
  } finally {
    change({ checking: false });
  }
}

/** Start Meta's dialog, which leaves this page. `button` is what was pressed. */
export async function connect(button = "connect") {
  change({ leaving: button });
  try {
    const { authorization_url } = await call("/whatsapp/connect");
    const url = new URL(authorization_url);
    if (!["https:", "http:"].includes(url.protocol)) throw new Refused(500, "", "The address of Meta's dialog is wrong.");
    location.assign(url);
  } catch (error) {
    change({ leaving: null });
    throw error;
  }
}

export function disconnect(waba_id) {
  return call(`/whatsapp/connection?waba_id=${encodeURIComponent(waba_id)}`, { method: "DELETE" });
}

/** The changes of the last days, as far as they are needed to draw them. */
export async function askHistory() {
  const asker = session;
  const from = Date.now() - DAYS * 86_400_000;
  try {
    const changes = [];
    let before = null;
    do {
      const page = await call(`/webhook/health/history?limit=${CHANGES}${before === null ? "" : `&before=${before}`}`);
      changes.push(...page.changes);
      before = page.next;
    } while (before !== null && new Date(changes.at(-1).since).getTime() > from && changes.length < CHANGES * 20);
    if (asker === session) change({ history: changes, historyFailed: false });
  } catch {
    if (asker === session) change({ historyFailed: true });
  }
}

/** Bring the templates up to what the health says; calls meanwhile make it run once more. */
export function refresh() {
  again = true;
  running ??= loop().finally(() => (running = null));
  return running;
}

async function loop() {
  while (again) {
    again = false;
    await update();
  }
}

async function update() {
  const asker = session;
  let syncs, templates;
  try {
    [syncs, templates] = await Promise.all([call("/templates/status"), listed()]);
  } catch (error) {
    if (asker === session && state.templates === null) change({ templatesFailed: true });
    throw error;
  }
  if (asker !== session) return;
  for (const { waba_id, status, sync_id } of syncs.accounts) {
    const asked = state.asked.get(waba_id);
    if (asked && ((status !== "syncing" && asked.ids.includes(sync_id)) || Date.now() > asked.until)) state.asked.delete(waba_id);
  }
  change({ syncs, templates, templatesFailed: false });
  welcomed();
  if (syncs.accounts.some((account) => account.status === "syncing") || state.asked.size) followUp(PROGRESS);
  else if (isBehind()) followUp(CATCH_UP);
  else tries = 0;
}

let tries = 0;
let timer = null;

function followUp(delay) {
  if (delay === CATCH_UP && ++tries > CATCH_UP_TRIES) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    const asker = session;
    refresh().catch(() => asker === session && followUp(AFTER_FAILURE)); // else a sync would seem to run for ever
  }, delay);
}

/** Whether the health has seen the end of a sync that the templates don't show yet. */
function isBehind() {
  return (state.health?.wabas ?? []).some((waba) => {
    const known = state.syncs.accounts.find((account) => account.waba_id === waba.waba_id);
    return waba.connected !== (known !== undefined) || (known && known.sync_id !== waba.sync.sync_id);
  });
}

let pages = []; // of templates, each as it was last answered and asked for `after` another
let listing = []; // what they hold together, the same for as long as they are

/** All templates. The pages known are asked for at once, and come only if they have changed. */
async function listed() {
  const asker = session;
  const asked = new Map(pages.map((page) => [page.after, listPage(page.after, page)]));
  for (const promise of asked.values()) promise.catch(() => {}); // one that is not waited for may fail
  const found = [];
  let after = null;
  do {
    const page = await (asked.get(after) ?? listPage(after));
    found.push(page);
    after = page.next;
  } while (after && found.length * PAGE < TEMPLATES_MAX);
  if (asker !== session) return [];
  if (found.length !== pages.length || found.some((page, at) => page !== pages[at])) {
    pages = found;
    listing = found.flatMap((page) => page.templates);
  }
  return listing;
}

async function listPage(after, known) {
  const query = new URLSearchParams({ status: "all", limit: PAGE, ...(after ? { after } : {}) });
  const answer = await callUnlessSame(`/templates?${query}`, known);
  return answer === known ? known : { ...answer, after };
}

/** Know nothing any more: somebody else may sign in. What is still on its way is dropped when it arrives. */
export function forgetAll() {
  pages = [];
  listing = [];
  seen = judged = "";
  session += 1; // what is on its way belongs to the one before
  again = false;
  clearTimeout(chasing);
  clearTimeout(timer);
  state.asked.clear();
  state.failures.clear();
  // A sign-up is of this browser and not of a session: `setup.js` ends it where it has to end.
  change({ ...NOTHING, setup: state.setup, live: "out" });
}

function syncOf(waba, known) {
  const running = known ? known.status === "syncing" : ["requested", "syncing"].includes(waba.sync.status);
  const status = running || state.asked.has(waba.waba_id) ? "syncing" : (known?.status ?? waba.sync.status);
  return { ...waba.sync, ...(known ?? {}), status };
}

function nameOf(waba) {
  const name = waba.phones.map((phone) => upright(phone.verified_name)).find(Boolean);
  return name ?? "WhatsApp Business account";
}

/** These accounts were connected just now: their first minute is shown step by step. */
export function welcome(waba_ids) {
  change({ welcome: { waba_ids, since: Date.now() } });
  setTimeout(welcomed, WELCOME_FOR + 1000);
}

/** Stop waiting for a new connection to show when it has not come up for long. */
function welcomed() {
  const { welcome } = state;
  if (!welcome || Date.now() - welcome.since < WELCOME_FOR) return;
  const there = welcome.waba_ids.filter((waba_id) => accounts().some((account) => account.waba_id === waba_id));
  if (there.length < welcome.waba_ids.length) change({ welcome: there.length ? { ...welcome, waba_ids: there } : null });
}

/** What a button does was refused: it is said beside the button, until it is pressed again or `until` holds. */
export function failed(button, text, until = null) {
  state.failures.set(button, { text, until, id: Date.now() });
  draw();
}

export function forgetFailure(button) {
  if (state.failures.delete(button)) draw();
}

/** Drop the failures that are over by themselves. */
export function settleFailures() {
  for (const [button, { until }] of state.failures) if (until?.()) state.failures.delete(button);
}
