// The top of the page: one sentence on how it stands, what to do about each trouble, and the way in for newcomers.

import { h, icon } from "../shared/dom.js";
import { ago, clock, since } from "../shared/time.js";
import { badge, isolated, listed, named, number, plural } from "../shared/words.js";
import { connectButton, failure, fetchedSoFar, progressBar, step, syncButton } from "./controls.js";
import { setupCard } from "./setup.js";
import { grouped, headline, isVerified, templatesOf } from "./verdict.js";
import { NOT_CONNECTED, OVERALL, PARTIAL, SEVERITY, placeOf } from "./words.js";

/** What stands above the accounts. */
export function overview(state, accounts, { isAdmin }) {
  const { health, welcome, live, setup } = state;
  const card = setupCard(setup, { isSignedIn: true });
  if (!health && live === "lost") return [card, unknown()];
  if (!health) return [card, h("div", { class: "card loading", "data-key": "loading", "aria-hidden": "true" }, h("i"), h("i"), h("i"))];
  const arrived = welcome && accounts.filter((account) => welcome.waba_ids.includes(account.waba_id));
  if (welcome && !card) return [steps(welcome, arrived), ...reasons(troubles(health), accounts, state, isAdmin)];
  if (!accounts.length) return [card ?? invitation(health, state)];
  return [card, summary(state, accounts, isAdmin), ...reasons(health.reasons, accounts, state, isAdmin)];
}

/** The sentence at the top. */
function title(accounts) {
  if (!accounts.length) return NOT_CONNECTED;
  const { status, count, of, partial, about } = headline(accounts);
  const look = lookOf(status, partial);
  if (!about.length) return look.title;
  const verb = status === "degraded" ? (count === 1 ? "needs attention" : "need attention") : `${count === 1 ? "is" : "are"} ${look.are}`;
  return `${number(count)} of ${plural(of, "account")} ${verb}`;
}

/** The same with the names, for who listens. */
export function spokenTitle(accounts) {
  const { about } = accounts.length ? headline(accounts) : { about: [] };
  return about.length ? `${title(accounts)}: ${listed(about.map(({ name }) => isolated(name))).join("")}` : title(accounts);
}

/** The same in short, for the title of the window. */
export function shortTitle(accounts) {
  if (!accounts.length) return null;
  const { status, count, of, partial, about } = headline(accounts);
  const { text } = lookOf(status, partial);
  return about.length ? `${number(count)} of ${number(of)}: ${text.toLowerCase()}` : text;
}

function lookOf(status, partial) {
  return partial ? PARTIAL : (OVERALL[status] ?? OVERALL.pending);
}

/** What goes wrong, without what the steps of a new connection show anyway. */
function troubles(health) {
  return health.reasons.filter((reason) => reason.severity !== "pending");
}

function unknown() {
  return h("section", { class: "card note bad", "data-key": "unknown", role: "alert" }, icon("alert"),
    h("p", {}, "How your WhatsApp connection is doing can't be shown right now. It appears here by itself as soon as it can."));
}

function invitation(health, state) {
  const before = health.reasons.find((reason) => reason.code === "not_connected" && reason.since);
  return h("section", { class: "card invitation", "data-key": "invitation" },
    h("span", { class: "emblem" }, icon("chat")),
    h("h2", {}, "Connect WhatsApp"),
    h("p", { class: "lead" }, before
      ? ["Your WhatsApp Business account was disconnected ", ago(before.since), ". Connect it again to receive messages and use its templates."]
      : "Let customers write to you on WhatsApp. It takes about a minute, and there is nothing to set up by hand."),
    connectButton("Connect WhatsApp", "invitation", state),
    failure(state, "connect invitation"),
    h("p", { class: "needed" }, "You need administrator rights in your Meta Business portfolio, and a phone number for WhatsApp."),
    h("ol", { class: "three" },
      h("li", {}, h("strong", {}, "Log in at Meta"), h("span", {}, "Choose the business accounts to connect.")),
      h("li", {}, h("strong", {}, "Message delivery is connected"), h("span", {}, "Meta checks our address by itself.")),
      h("li", {}, h("strong", {}, "Your templates arrive"), h("span", {}, "Ready to use in a few seconds."))),
    h("p", { class: "fine" }, icon("shield"), h("span", {}, "The account will belong to the organisation ", named(health.org_id, { class: "organisation strong" }),
      ". Your access is stored encrypted. You can disconnect at any time.")));
}

/** The first minute of new connections. */
function steps({ waba_ids }, accounts) {
  const arrived = accounts.length === waba_ids.length;
  const verified = arrived && accounts.every(isVerified);
  const failing = accounts.some(({ sync }) => sync.status === "failed");
  const synced = arrived && accounts.every(({ sync }) => sync.status === "synced");
  const [total, approved] = ["total", "approved"].map((key) => accounts.reduce((sum, { sync }) => sum + sync[key], 0));
  const progress = accounts.map(({ sync }) => sync.progress).find(Boolean);
  const done = verified && synced;
  const isWell = accounts.every((account) => account.status === "healthy");
  const fetched = synced ? (total ? `${plural(total, "template")}, ${number(approved)} approved` : "There are none yet")
    : failing ? "This did not work; see below"
    : progress?.fetched ? fetchedSoFar(progress)
    : "Asking Meta for your templates…";
  const ready = isWell
    ? total ? "Your account is connected and its templates are ready to use." : "Your account is connected. Create templates in WhatsApp Manager, and they show here."
    : "Your account is connected. What it still needs stands below.";
  return h("section", { class: `card welcome ${done ? (isWell ? "done" : "partly") : ""}`, "data-key": "welcome", "aria-busy": String(!done) },
    h("h2", {}, done ? (isWell ? "WhatsApp is ready" : "WhatsApp is connected") : "Setting up WhatsApp…"),
    accounts.length ? h("p", { class: "lead" }, listed(accounts.map(({ name }) => named(name, { class: "strong" })))) : null,
    h("p", { class: "lead" }, done ? ready : "You can stay on this page: everything happens by itself."),
    h("ol", { class: "steps" },
      step("Logged in at Meta", arrived ? "Permission granted" : "Storing the connection…", arrived ? "good" : "wait"),
      step("Message delivery", verified ? "Meta reaches us" : "Waiting for Meta…", verified ? "good" : "wait"),
      step("Templates fetched", fetched, synced ? "good" : failing ? "bad" : "wait")),
    arrived && !synced && !failing ? progressBar(progress) : null,
    done || failing ? h("button", { class: "button quiet", type: "button", "data-action": "dismiss-welcome" }, done ? "Show my connection" : "Close") : null);
}

function summary(state, accounts, isAdmin) {
  const { health, live, checking, checkedAt } = state;
  const { status, partial, about } = headline(accounts);
  const look = lookOf(status, partial);
  const approved = accounts.reduce((sum, account) => sum + account.sync.approved, 0);
  const total = accounts.reduce((sum, account) => sum + account.sync.total, 0);
  const last = accounts.map((account) => account.sync.last_sync_at).filter(Boolean).sort()[0];
  const syncing = accounts.some((account) => account.sync.status === "syncing");
  return h("section", { class: `card summary ${look.kind}`, "data-key": "summary", "aria-label": "Status" },
    h("span", { class: "emblem" }, icon(look.glyph)),
    h("div", { class: "grow" },
      h("h2", {}, title(accounts), about.length ? [": ", listed(about.map(accountLink))] : null),
      h("p", { class: "muted" },
        total ? [`${number(approved)} of ${plural(total, "template")} approved`] : "No templates yet",
        syncing ? " · comparing templates with Meta…" : last ? [" · compared with Meta ", ago(last)] : null,
        live === "lost" ? h("span", { class: "strong" }, ` · as of ${clock(health.checked_at)}`) : checkedAt ? [" · Meta was asked ", ago(checkedAt)] : null)),
    badge(look),
    h("div", { class: "summary-actions" },
      isAdmin ? h("button", { class: "button quiet", type: "button", "data-action": "check", "data-key": "check", "aria-disabled": checking ? "true" : null },
        icon("sync", checking ? "spin" : ""), checking ? "Asking Meta…" : "Check now") : null,
      health.reasons.length ? h("button", { class: "button text", type: "button", "data-action": "copy-details", "data-key": "copy-details" }, "Copy details for support") : null),
    failure(state, "check"));
}

/** A name that leads to the account's place in the page. */
function accountLink({ waba_id, name }) {
  return h("a", { href: `#account-${waba_id}`, "data-action": "open-account", "data-waba": waba_id }, named(name));
}

function reasons(known, accounts, state, isAdmin) {
  const shown = known.filter((reason) => reason.code !== "not_connected");
  if (!shown.length) return [];
  return [h("ul", { class: "reasons", "data-key": "reasons", "aria-label": "What to know" },
    grouped(shown, accounts).map((group) => reasonItem(group, accounts, state, isAdmin)))];
}

function reasonItem(group, accounts, state, isAdmin) {
  const [reason] = group.reasons;
  const { kind, glyph, text } = SEVERITY[reason.severity] ?? SEVERITY.notice;
  const isShared = group.accounts.length > 1;
  const templates = templatesOf(group);
  const began = group.reasons.map((each) => each.since).filter(Boolean).sort()[0];
  return h("li", { class: `reason ${kind}`, "data-key": group.key, "data-code": reason.code },
    icon(glyph),
    h("div", { class: "grow" },
      h("p", { class: "what", dir: "auto" }, h("span", { class: "unseen" }, `${text}: `),
        isShared && templates ? `${plural(templates.count, "template")} are ${templates.words} in ${number(group.accounts.length)} accounts.` : reason.message),
      isShared && !templates ? h("p", { class: "what also" }, `The same in ${plural(group.accounts.length - 1, "other account")}.`) : null,
      h("p", { class: "remedy", dir: "auto" }, remedyFor(reason, isAdmin)),
      h("p", { class: "fine" },
        accounts.length > 1 && group.accounts.length ? [listed(group.accounts.map(accountLink)), began ? " · " : null] : null,
        began ? since(began) : null)),
    h("div", { class: "reason-actions" }, actions(group, templates, state, isAdmin)));
}

const FOR_ADMINS = { sync: "Ask an administrator to press “Sync now”.", check: "Ask an administrator to have Meta asked again." };

/** What a member can't do is asked of an administrator. */
function remedyFor({ remedy, action }, isAdmin) {
  return (!isAdmin && action && FOR_ADMINS[action.kind]) || remedy;
}

function actions(group, templates, state, isAdmin) {
  const [{ action, code }] = group.reasons;
  const found = [];
  if (templates?.status) {
    found.push(h("button", { class: "button quiet", type: "button", "data-action": "show-templates", "data-status": templates.status, "data-waba": group.accounts.length === 1 ? group.accounts[0].waba_id : null },
      templates.count === 1 ? "Show it" : "Show them"));
  }
  if (action?.kind === "reconnect") found.push(connectButton("Reconnect", group.key, state), failure(state, `connect ${group.key}`));
  if (action?.kind === "sync" && isAdmin) found.push(group.accounts.map((account) => [syncButton(account, { named: group.accounts.length > 1 }), failure(state, `sync ${account.waba_id}`)]));
  if (action?.kind === "check" && isAdmin) found.push(h("button", { class: "button quiet", type: "button", "data-action": "check", "data-key": "check", "aria-disabled": state.checking ? "true" : null }, "Check now"));
  if (action?.kind === "link" && action.href.startsWith("https://")) {
    found.push(group.reasons.length > 1 && code.startsWith("template_")
      ? null
      : h("a", { class: "button quiet", href: action.href, target: "_blank", rel: "noopener noreferrer" }, placeOf(action.href), icon("link"), h("span", { class: "unseen" }, " (new window)")));
  }
  return found;
}
