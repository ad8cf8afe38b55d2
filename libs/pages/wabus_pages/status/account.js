// One connected account, opened: does its webhook arrive, where are its templates, its numbers, its traffic.

import { bar, h, icon } from "../shared/dom.js";
import { copyButton } from "../shared/copy.js";
import { ago, day, until } from "../shared/time.js";
import { badge, named, number, plain, plural, quality, templateStatus } from "../shared/words.js";
import { failure, fetchedSoFar, progressBar, syncButton } from "./controls.js";
import { isCutOff, numberStatus, webhookOf } from "./verdict.js";
import { SYNC, limit } from "./words.js";

const EVIDENCE = {
  callback_handshake: () => "Meta confirmed our address",
  signed_webhook: ({ detail }) => (detail ? `Last news from Meta: ${words(detail)}` : "News from Meta arrives"),
  webhook_configuration: () => "Meta sends this account's messages to us",
};
const TRAFFIC = ["received", "sent", "delivered", "read", "failed"];
const WINDOWS = [["last_24h", "24 hours"], ["last_7d", "7 days"], ["last_30d", "30 days"]];

/** What an opened account shows below its name. */
export function accountBody(account, state, isAdmin) {
  return [
    h("div", { class: "tiles" }, webhook(account), templates(account), sync(account, state, isAdmin)),
    h("h3", { class: "label" }, "Phone numbers"),
    account.phones.length
      ? h("ul", { class: "phones" }, account.phones.map(phone))
      : h("p", { class: "muted lacking" }, "This account has no phone number yet. Add one in WhatsApp Manager; it shows here by itself."),
    traffic(account),
    details(account),
  ];
}

function webhook(account) {
  const look = webhookOf(account);
  const proofs = [...account.evidence].sort((a, b) => b.last_at.localeCompare(a.last_at));
  return h("div", { class: `tile webhook-health-section ${look.kind}`, "data-tile": "webhook" },
    h("h3", { class: "label" }, "Message delivery"),
    badge(look),
    proofs.length
      ? h("ul", { class: "evidence" }, (look.isPast ? proofs.slice(0, 1) : proofs).map((proof) =>
          h("li", { "data-key": proof.kind }, look.isPast ? h("span", { class: "fine" }, "Last proof:") : null,
            h("span", {}, (EVIDENCE[proof.kind] ?? (() => plain(proof.kind)))(proof)), h("span", { class: "fine" }, ago(proof.last_at)))))
      : h("p", { class: "muted" }, "Waiting for Meta's first call. This normally takes a few seconds."));
}

function templates({ sync, waba_id, name }) {
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
      : sync.status === "synced" ? "Create one in WhatsApp Manager; it will show here." : null),
    by.length ? h("button", { class: "button text flush", type: "button", "data-action": "show-templates", "data-waba": waba_id }, "Show them", h("span", { class: "unseen" }, " ", named(name))) : null);
}

function sync(account, state, isAdmin) {
  const { last_sync_at, progress, last_error, next_try_at } = account.sync;
  const status = isCutOff(account) && account.sync.status !== "syncing" ? "cut_off" : account.sync.status;
  const look = SYNC[status] ?? SYNC.never;
  const why = account.reasons.find((reason) => reason.code === "sync_failing")?.message ?? last_error?.message;
  return h("div", { class: `tile template-sync-section ${look.kind}`, "data-tile": "sync" },
    h("h3", { class: "label" }, "Templates compared with Meta"),
    h("span", { class: `badge sync-badge ${look.kind}` }, icon(look.glyph, status === "syncing" ? "spin" : ""), look.text),
    status === "syncing"
      ? [h("p", { class: "muted", "data-key": "when" }, progress?.fetched !== undefined && progress?.fetched !== null ? fetchedSoFar(progress) : "Asking Meta for your templates…"),
         progressBar(progress)]
      : [h("p", { class: "muted", "data-key": "when" }, last_sync_at ? ["Compared ", ago(last_sync_at)] : "Not compared yet"),
         status === "failed" && why ? h("p", { class: "error", "data-key": "why", dir: "auto" }, why) : null,
         status === "failed" && next_try_at ? h("p", { class: "muted", "data-key": "next" }, "Next try ", until(next_try_at)) : null],
    isAdmin ? syncButton(account) : null,
    failure(state, `sync ${account.waba_id}`));
}

function phone(each) {
  const trouble = numberStatus(each);
  return h("li", { "data-key": each.phone_number_id ?? each.display_phone_number },
    icon("phone"),
    h("span", { class: "grow" }, h("strong", { dir: "ltr" }, each.display_phone_number), each.verified_name && named(each.verified_name, { class: "muted name" })),
    trouble && badge(trouble),
    each.coexistence ? h("span", { class: "muted" }, "Also in the WhatsApp Business app") : null,
    trouble?.isLost ? null : [quality(each.quality), h("span", { class: "muted limit" }, limit(each.messaging_limit))]);
}

function traffic({ counts }) {
  return [h("h3", { class: "label" }, "Messages"),
    h("table", { class: "traffic" },
      h("thead", {}, h("tr", {}, h("td", {}), WINDOWS.map(([, words]) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, TRAFFIC.map((kind) => h("tr", { class: kind === "failed" && counts?.last_30d?.failed ? "bad" : null },
        h("th", { scope: "row" }, plain(kind)), WINDOWS.map(([window]) => h("td", {}, number(counts?.[window]?.[kind])))))))];
}

function details(account) {
  const errors = account.recent_errors.slice(0, 5);
  return h("details", {},
    h("summary", {}, "Connection details"),
    h("dl", { class: "facts" },
      fact("Account", h("span", { class: "id" }, account.waba_id), copyButton(account.waba_id, "the account's id")),
      fact("Connected", ago(account.connected_at)),
      fact("Access", h("span", {}, account.token_expires_at ? ["until ", day(account.token_expires_at)] : "does not expire")),
      fact("Address", account.callback_url ? [h("code", {}, account.callback_url), copyButton(account.callback_url, "the address that Meta sends messages to")] : "the app's own"),
      account.currency ? fact("Charged in", h("span", {}, account.currency, account.time_zone ? `, by the days of ${account.time_zone.replaceAll("_", " ")}` : "")) : null,
      account.portfolio_id ? fact("Business portfolio", h("span", { class: "id" }, account.portfolio_id), copyButton(account.portfolio_id, "the business portfolio's id")) : null,
      fact("Permissions", account.scopes.length ? account.scopes.map((scope) => h("code", {}, scope)) : "not reported"),
      account.last_events?.webhook_at ? fact("Last from Meta", ago(account.last_events.webhook_at)) : null,
      errors.length ? fact("Recent errors", h("ul", {}, errors.map((error) =>
        h("li", {}, h("span", { dir: "auto" }, error.message ?? `${plural(error.count, "message")} failed with Meta's error ${error.code}`), h("span", { class: "fine" }, ago(error.at)))))) : null));
}

function fact(name, ...values) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, values));
}

/** `message_template_status_update` or `TemplateStatusChanged` in words. */
function words(name) {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase().replace(/ updated?$/, "").replace("message template", "template");
}
