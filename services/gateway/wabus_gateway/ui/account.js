// One connected account: is its webhook verified and by what, where its templates are, its numbers and its traffic.

import { bar, h, icon } from "./dom.js";
import { fetchedSoFar, isVerified, progressBar, syncButton } from "./overview.js";
import { SYNC, ago, badge, day, limit, number, plain, plural, quality, templateStatus } from "./words.js";

const EVIDENCE = {
  callback_handshake: () => "Meta checked our callback",
  signed_webhook: ({ detail }) => (detail ? `Signed webhook received (${words(detail)})` : "Signed webhook received"),
  webhook_configuration: () => "Meta sends messages to us",
};
const TRAFFIC = ["received", "sent", "delivered", "read", "failed"];

export function accountCard(account, isAdmin) {
  const { waba_id, name } = account;
  return h("section", { class: "card account", "data-key": waba_id, "data-waba": waba_id, "aria-label": name },
    h("div", { class: "section-head" },
      h("span", { class: "avatar", "aria-hidden": "true" }, initials(name)),
      h("div", { class: "grow" }, h("h2", {}, name), h("p", { class: "fine" }, "Account ", h("span", { class: "id" }, waba_id))),
      isAdmin ? h("button", { class: "button text", type: "button", "data-action": "disconnect", "data-waba": waba_id }, "Disconnect", h("span", { class: "unseen" }, ` ${name}`)) : null),
    h("div", { class: "tiles" }, webhook(account), templates(account), sync(account, isAdmin)),
    h("h3", { class: "label" }, "Phone numbers"),
    account.phones.length
      ? h("ul", { class: "phones" }, account.phones.map(phone))
      : h("p", { class: "muted lacking" }, "This account has no phone number yet. Add one in WhatsApp Manager; it shows here by itself."),
    traffic(account),
    details(account));
}

function webhook(account) {
  const verified = isVerified(account);
  return h("div", { class: `tile webhook-health-section ${verified ? "good" : "wait"}`, "data-tile": "webhook" },
    h("h3", { class: "label" }, "Webhook"),
    badge(verified ? { kind: "good", glyph: "check", text: "Verified" } : { kind: "wait", glyph: "pending", text: "Pending" }),
    verified
      ? h("ul", { class: "evidence" }, account.evidence.map((proof) =>
          h("li", {}, (EVIDENCE[proof.kind] ?? (() => plain(proof.kind)))(proof), h("span", { class: "fine" }, ago(proof.last_at)))))
      : h("p", { class: "muted" }, "Waiting for Meta's first call. This normally takes a few seconds."));
}

function templates({ sync }) {
  const by = Object.entries(sync.by_status ?? {}).filter(([, count]) => count > 0)
    .sort(([a], [b]) => (b === "APPROVED") - (a === "APPROVED") || a.localeCompare(b));
  return h("div", { class: "tile", "data-tile": "templates" },
    h("h3", { class: "label" }, "Approved templates"),
    h("p", { class: "figure" }, sync.last_sync_at || sync.total
      ? [h("strong", {}, number(sync.approved)), h("span", {}, ` of ${number(sync.total)}`)]
      : h("span", {}, "Not known yet")),
    by.length ? bar(by.map(([status, count]) => ({ count, kind: templateStatus(status).kind }))) : null,
    h("p", { class: "muted" }, by.length
      ? by.filter(([status]) => status !== "APPROVED").map(([status, count]) => `${number(count)} ${plain(status).toLowerCase()}`).join(" · ") || "All of them can be sent"
      : sync.status === "synced" ? "Create one in WhatsApp Manager; it will show here." : null));
}

function sync(account, isAdmin) {
  const { status, last_sync_at, progress, last_error } = account.sync;
  const look = SYNC[status] ?? SYNC.never;
  return h("div", { class: `tile template-sync-section ${look.kind}`, "data-tile": "sync" },
    h("h3", { class: "label" }, "Sync with Meta"),
    h("span", { class: `badge sync-badge ${look.kind}` }, icon(look.glyph, status === "syncing" ? "spin" : ""), look.text),
    status === "syncing"
      ? [h("p", { class: "muted" }, progress?.fetched !== undefined && progress?.fetched !== null
          ? fetchedSoFar(progress)
          : "Asking Meta for your templates…"), progressBar(progress)]
      : [h("p", { class: "muted" }, last_sync_at ? [status === "failed" ? "The last that worked was " : "Last sync ", ago(last_sync_at)] : "No sync has ended yet"),
         status === "failed" && last_error ? h("p", { class: "error" }, last_error.message) : null],
    isAdmin ? syncButton(account) : null);
}

function phone(each) {
  return h("li", {},
    icon("phone"),
    h("span", { class: "grow" }, h("strong", { dir: "ltr" }, each.display_phone_number), each.verified_name && h("span", { class: "muted" }, each.verified_name)),
    each.status && each.status !== "CONNECTED" ? badge({ kind: "wait", glyph: "alert", text: plain(each.status) }) : null,
    quality(each.quality),
    h("span", { class: "muted limit" }, limit(each.messaging_limit)));
}

function traffic({ counts }) {
  const last = counts?.last_24h ?? {};
  return [h("h3", { class: "label" }, "Messages in the last 24 hours"),
    h("dl", { class: "traffic" }, TRAFFIC.map((kind) =>
      h("div", { class: kind === "failed" && last[kind] ? "bad" : null }, h("dt", {}, plain(kind)), h("dd", {}, number(last[kind])))))];
}

function details(account) {
  const errors = account.recent_errors.slice(0, 5);
  return h("details", {},
    h("summary", {}, "Connection details"),
    h("dl", { class: "facts" },
      fact("Connected", ago(account.connected_at)),
      fact("Access", account.token_expires_at ? ["until ", day(account.token_expires_at)] : "does not expire"),
      fact("Callback", h("code", {}, account.callback_url ?? "the app's own")),
      fact("Permissions", account.scopes.length ? account.scopes.map((scope) => h("code", {}, scope)) : "not reported"),
      account.last_events?.webhook_at ? fact("Last webhook", ago(account.last_events.webhook_at)) : null,
      errors.length ? fact("Recent errors", h("ul", {}, errors.map((error) =>
        h("li", {}, error.message ?? `${plural(error.count, "message")} failed with Meta's error ${error.code}`, h("span", { class: "fine" }, ago(error.at)))))) : null));
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** `message_template_status_update` or `TemplateStatusChanged` in words. */
function words(name) {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase();
}

function initials(name) {
  return (name.match(/[\p{L}\p{N}]+/gu) ?? []).slice(0, 2).map((word) => [...word][0]).join("").toUpperCase();
}
