// The top of the page: one sentence on how it stands, what to do about each trouble, and the way in for newcomers.

import { h, icon } from "./dom.js";
import { OVERALL, SEVERITY, SYNC, ago, badge, number, plural } from "./words.js";

const RECONNECT = new Set([
  "token_expired", "token_expires_soon", "permission_lost", "account_offboarded", "credential_missing", "credential_unreadable",
]);
const SYNC_NOW = new Set(["templates_stale", "sync_stalled", "sync_failing"]);

/** What stands above the accounts. */
export function overview({ health, welcome, connecting, live }, accounts, isAdmin) {
  if (!health && live === "lost") return [unknown()];
  if (!health) return [h("div", { class: "card loading", "aria-hidden": "true" }, h("i"), h("i"), h("i"))];
  const arrived = welcome && accounts.find((account) => account.waba_id === welcome.waba_id);
  if (welcome) return [steps(arrived), ...reasons(troubles(health), accounts, connecting, isAdmin)];
  if (!accounts.length) return [invitation(health, connecting)];
  return [summary(health, accounts), ...reasons(health.reasons, accounts, connecting, isAdmin)];
}

/** What goes wrong, without what the steps of a new connection show anyway. */
function troubles(health) {
  return health.reasons.filter((reason) => reason.severity !== "pending");
}

function unknown() {
  return h("section", { class: "card note bad", "data-key": "unknown" }, icon("alert"),
    h("p", {}, "How your WhatsApp connection is doing can't be shown right now. It appears here by itself as soon as it can."));
}

function invitation(health, connecting) {
  const before = health.reasons.find((reason) => reason.code === "not_connected" && reason.since);
  return h("section", { class: "card invitation", "data-key": "invitation" },
    h("span", { class: "emblem" }, icon("chat")),
    h("h2", {}, "Connect WhatsApp"),
    h("p", { class: "lead" }, before
      ? "Your WhatsApp Business account is disconnected. Connect it again to receive messages and use its templates."
      : "Let customers write to you on WhatsApp. It takes about a minute, and there is nothing to set up by hand."),
    connectButton("Connect WhatsApp", connecting),
    h("ol", { class: "three" },
      h("li", {}, h("strong", {}, "Log in at Meta"), h("span", {}, "Choose the business account to connect.")),
      h("li", {}, h("strong", {}, "We set up the webhook"), h("span", {}, "Meta checks it by itself.")),
      h("li", {}, h("strong", {}, "Your templates arrive"), h("span", {}, "Ready to use in a few seconds."))),
    h("p", { class: "fine" }, icon("shield"), "Your access is stored encrypted. You can disconnect at any time."));
}

/** The first minute of a connection. */
function steps(account) {
  const verified = account && isVerified(account);
  const { status, progress, total, approved } = account?.sync ?? {};
  const done = verified && status === "synced";
  const fetched = status === "synced" ? `${plural(total, "template")}, ${number(approved)} approved`
    : status === "failed" ? "This did not work; see below"
    : progress?.fetched ? fetchedSoFar(progress)
    : "Asking Meta for your templates…";
  return h("section", { class: `card welcome ${done ? "done" : ""}`, "data-key": "welcome", "aria-busy": String(!done) },
    h("h2", {}, done ? "WhatsApp is ready" : "Setting up WhatsApp…"),
    h("p", { class: "lead" }, done ? "Your account is connected and its templates are ready to use." : "You can stay on this page: everything happens by itself."),
    h("ol", { class: "steps" },
      step("Logged in at Meta", account ? "Permission granted" : "Storing the connection…", account ? "good" : "wait"),
      step("Webhook verified", verified ? "Meta reaches us" : "Waiting for Meta…", verified ? "good" : "wait"),
      step("Templates fetched", fetched, status === "synced" ? "good" : status === "failed" ? "bad" : "wait")),
    account && status !== "synced" && status !== "failed" ? progressBar(progress) : null,
    done || status === "failed" ? h("button", { class: "button quiet", "data-action": "dismiss-welcome" }, done ? "Show my connection" : "Close") : null);
}

function step(title, text, kind) {
  const glyph = { good: "check", wait: "pending", bad: "cross" }[kind];
  return h("li", { class: kind }, h("span", { class: "dot" }, icon(glyph, kind === "wait" ? "spin" : "")),
    h("span", {}, h("strong", {}, title), h("span", { class: "muted" }, text)));
}

/** Meta says how many there are only when it has listed them all: what we had before is a good guess. */
export function fetchedSoFar({ fetched, expected }) {
  return expected ? `Fetched ${number(fetched)} of about ${number(expected)} templates` : `Fetched ${plural(fetched, "template")} so far`;
}

export function progressBar(progress) {
  const known = progress?.expected > 0;
  const label = "Templates fetched";
  return known
    ? h("progress", { class: "progress", "aria-label": label, value: Math.min(progress.fetched ?? 0, progress.expected), max: progress.expected })
    : h("progress", { class: "progress", "aria-label": label });
}

function summary(health, accounts) {
  const { kind, glyph, text, title } = OVERALL[health.status] ?? OVERALL.pending;
  const approved = accounts.reduce((sum, account) => sum + account.sync.approved, 0);
  const total = accounts.reduce((sum, account) => sum + account.sync.total, 0);
  const last = accounts.map((account) => account.sync.last_sync_at).filter(Boolean).sort().at(-1);
  const syncing = accounts.some((account) => account.sync.status === "syncing");
  return h("section", { class: `card summary ${kind}`, "data-key": "summary", "aria-label": "Status" },
    h("span", { class: "emblem" }, icon(glyph)),
    h("div", { class: "grow" },
      h("h2", {}, title),
      h("p", { class: "muted" },
        `${number(approved)} of ${plural(total, "template")} approved`,
        syncing ? [" · ", SYNC.syncing.text.toLowerCase(), "…"] : last ? [" · last sync ", ago(last)] : null)),
    badge({ kind, glyph, text }));
}

function reasons(known, accounts, connecting, isAdmin) {
  const shown = known.filter((reason) => reason.code !== "not_connected");
  if (!shown.length) return [];
  const names = new Map(accounts.map((account) => [account.waba_id, account]));
  return [h("ul", { class: "reasons", "data-key": "reasons", "aria-label": "What to know" }, shown.map((reason) => {
    const { kind, glyph, text } = SEVERITY[reason.severity] ?? SEVERITY.notice;
    const account = names.get(reason.waba_id);
    return h("li", { class: `reason ${kind}`, "data-key": `${reason.code} ${reason.waba_id} ${reason.message}`, "data-code": reason.code },
      icon(glyph),
      h("div", { class: "grow" },
        h("p", { class: "what" }, h("span", { class: "unseen" }, `${text}: `), reason.message),
        h("p", { class: "remedy" }, reason.remedy),
        h("p", { class: "fine" }, accounts.length > 1 && account ? `${account.name} · ` : null, reason.since ? ["since ", ago(reason.since)] : null)),
      action(reason, account, connecting, isAdmin));
  }))];
}

function action(reason, account, connecting, isAdmin) {
  const cause = reason.code === "sync_failing" ? account?.sync.last_error?.code : reason.code;
  if (RECONNECT.has(cause)) return connectButton("Reconnect", connecting);
  if (SYNC_NOW.has(reason.code) && isAdmin && account) return syncButton(account);
  return null;
}

export function connectButton(text, connecting) {
  return h("button", { class: "button", type: "button", "data-action": "connect", "aria-disabled": connecting ? "true" : null },
    connecting ? [icon("pending", "spin"), "Opening Meta…"] : text);
}

export function syncButton({ waba_id, name, sync }) {
  const busy = sync.status === "syncing";
  return h("button", { class: "button quiet", type: "button", "data-action": "sync", "data-waba": waba_id, "aria-disabled": busy ? "true" : null },
    icon("sync", busy ? "spin" : ""), busy ? "Syncing…" : "Sync now", h("span", { class: "unseen" }, ` ${name}`));
}

/** Evidence, not a flag: a handshake, or a signed webhook. */
export function isVerified(account) {
  return account.evidence.length > 0 || Boolean(account.last_events?.webhook_at);
}
