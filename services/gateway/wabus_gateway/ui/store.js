// What the page knows, and how it gets to know the templates: again whenever the health says that they changed.

import { Refused, call, callUnlessSame } from "./api.js";

const PAGE = 500; // templates in one answer
const TEMPLATES_MAX = 10_000;
const PROGRESS = 600; // ms between questions while a sync runs
const ASKED_FOR = 30_000; // ms that a sync asked for may take to show at all
const BOTH_FOLDS = [100, 200, 400, 800, 1_600, 3_200]; // ms between questions until the templates show what the health says
const CATCH_UP = 300; // ms until the templates are asked for again that the health is ahead of
const CATCH_UP_TRIES = 10;
const WELCOME_FOR = 120_000; // ms that a new connection may take to show

export const state = {
  health: null,
  syncs: null, // GET /templates/status
  templates: null,
  live: "connecting",
  asked: new Map(), // by WABA: the syncs asked for here that have not shown as ended
  connecting: false,
  welcome: null, // the WABA that Meta's dialog just came back with
  notice: null,
};

let draw = () => {};
let seen = ""; // what the health said of the templates when they were last asked for
let running = null;
let again = false;

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
  change({ health });
  const said = JSON.stringify(
    health.wabas.map(({ waba_id, connected, sync, last_events, templates_needing_attention }) => [
      waba_id, connected, sync, last_events?.template_at, templates_needing_attention,
    ]),
  );
  if (said === seen) return;
  seen = said;
  chase(BOTH_FOLDS);
}

let chasing = null;

/** Ask until the templates have changed: they are another fold of the same events, and may be a moment behind. */
async function chase([delay, ...later]) {
  clearTimeout(chasing);
  const before = pages;
  try {
    await refresh();
  } catch {
    seen = "";
    return;
  }
  const changed = pages.length !== before.length || pages.some((page, at) => page !== before[at]);
  clearTimeout(chasing);
  if (!changed && delay) chasing = setTimeout(() => chase(later), delay);
}

/** Ask for everything once. */
export async function poll() {
  takeHealth(await call("/webhook/health/detailed"));
  await refresh();
}

/** Ask for the sync of one account. */
export async function sync(waba_id) {
  state.asked.set(waba_id, { ids: [], until: Date.now() + ASKED_FOR });
  draw();
  try {
    const { sync_ids } = await call("/templates/sync", { method: "POST", body: { waba_id } });
    state.asked.get(waba_id).ids = sync_ids;
  } catch (error) {
    state.asked.delete(waba_id);
    draw();
    throw error;
  }
  await refresh();
}

/** Start Meta's dialog, which leaves this page. */
export async function connect() {
  change({ connecting: true });
  try {
    const { authorization_url } = await call("/whatsapp/connect");
    const url = new URL(authorization_url);
    if (!["https:", "http:"].includes(url.protocol)) throw new Refused(500, "", "The address of Meta's dialog is wrong.");
    location.assign(url);
  } catch (error) {
    change({ connecting: false });
    throw error;
  }
}

export function disconnect(waba_id) {
  return call(`/whatsapp/connection?waba_id=${encodeURIComponent(waba_id)}`, { method: "DELETE" });
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
  const [syncs, templates] = await Promise.all([call("/templates/status"), listed()]);
  for (const { waba_id, status, sync_id } of syncs.accounts) {
    const asked = state.asked.get(waba_id);
    if (asked && ((status !== "syncing" && asked.ids.includes(sync_id)) || Date.now() > asked.until)) state.asked.delete(waba_id);
  }
  change({ syncs, templates });
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
  timer = setTimeout(() => refresh().catch(() => {}), delay);
}

/** Whether the health has seen the end of a sync that the templates don't show yet. */
function isBehind() {
  return (state.health?.wabas ?? []).some((waba) => {
    const known = state.syncs.accounts.find((account) => account.waba_id === waba.waba_id);
    return waba.connected !== (known !== undefined) || (known && known.sync_id !== waba.sync.sync_id);
  });
}

let pages = []; // of templates, each as it was last answered and asked for `after` another

/** All templates. The pages known are asked for at once, and come only if they have changed. */
async function listed() {
  const asked = new Map(pages.map((page) => [page.after, listPage(page.after, page)]));
  for (const promise of asked.values()) promise.catch(() => {}); // one that is not waited for may fail
  const found = [];
  let after = null;
  do {
    const page = await (asked.get(after) ?? listPage(after));
    found.push(page);
    after = page.next;
  } while (after && found.length * PAGE < TEMPLATES_MAX);
  pages = found;
  return found.flatMap((page) => page.templates);
}

async function listPage(after, known) {
  const query = new URLSearchParams({ status: "all", limit: PAGE, ...(after ? { after } : {}) });
  const answer = await callUnlessSame(`/templates?${query}`, known);
  return answer === known ? known : { ...answer, after };
}

/** Know nothing any more: somebody else may sign in. */
export function forgetAll() {
  pages = [];
  seen = "";
  change({ health: null, syncs: null, templates: null });
}

function syncOf(waba, known) {
  const running = known ? known.status === "syncing" : ["requested", "syncing"].includes(waba.sync.status);
  const status = running || state.asked.has(waba.waba_id) ? "syncing" : (known?.status ?? waba.sync.status);
  return { ...waba.sync, ...(known ?? {}), status };
}

function nameOf(waba) {
  return waba.phones.find((phone) => phone.verified_name)?.verified_name ?? "WhatsApp Business account";
}

export function welcome(waba_id) {
  change({ welcome: { waba_id, since: Date.now() } });
  setTimeout(welcomed, WELCOME_FOR + 1000);
}

/** Stop waiting for a new connection to show when it has not come up for long. */
function welcomed() {
  const { welcome } = state;
  if (!welcome || Date.now() - welcome.since < WELCOME_FOR) return;
  if (!accounts().some((account) => account.waba_id === welcome.waba_id)) change({ welcome: null });
}
