// What the health of accounts amounts to on the page: headlines, looks of tiles, reasons put together. Pure.

import { plain } from "../shared/words.js";

const WORST_FIRST = ["failing", "degraded", "pending", "healthy"];

/** Reasons that stop nothing but one part: with these alone WhatsApp is not "not working". */
const PARTIAL = new Set([
  "account_restricted", "display_name_not_approved", "fields_missing", "payment_problem", "sending_blocked", "sync_failing",
]);
/** Reasons that stop a number, which is a part of the account only where it has another one. */
const OF_A_NUMBER = new Set(["number_not_registered", "phone_not_connected"]);
/** With one of these we have no access to the account: nothing newer can be known of it. */
const CUT_OFF = new Set([
  "token_expired", "permission_lost", "account_deleted", "account_offboarded", "account_not_found", "credential_missing", "credential_unreadable",
]);
const WEBHOOK = {
  webhook_misrouted: { kind: "bad", glyph: "cross", text: "Not arriving" },
  webhook_unsubscribed: { kind: "bad", glyph: "cross", text: "Not arriving" },
  webhook_silent: { kind: "wait", glyph: "alert", text: "Nothing has come for long" },
  webhook_unverified: { kind: "wait", glyph: "pending", text: "Pending" },
};
const VERIFIED = { kind: "good", glyph: "check", text: "Verified" };
const UNKNOWN = { kind: "bad", glyph: "cross", text: "No access" };
const LOST_NUMBER = new Set(["BANNED", "DELETED", "DISCONNECTED", "MIGRATED"]);

/** Of two statuses the worse comes first; then by name, so that rows have a place where people find them again. */
export function byNeed(one, other) {
  return WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status) || one.name.localeCompare(other.name) || one.waba_id.localeCompare(other.waba_id);
}

/** The codes that decide about an account, without what is merely worth knowing. */
export function deciding(account) {
  return account.reasons.filter((reason) => reason.severity !== "notice");
}

/** Whether all that fails of an account is a part of it, while messages go on. */
export function isPartial({ reasons, phones }) {
  const failing = reasons.filter((reason) => reason.severity === "failing");
  const hasNumber = phones.some((phone) => numberStatus(phone) === null);
  return failing.length > 0 && failing.every(({ code }) => PARTIAL.has(code) || (OF_A_NUMBER.has(code) && hasNumber));
}

/** The look of an account's webhook: the worst that is said of it, else the evidence that there is. */
export function webhookOf(account) {
  const said = account.reasons.map((reason) => reason.code);
  if (said.some((code) => CUT_OFF.has(code))) return { ...UNKNOWN, isPast: true };
  const worst = Object.keys(WEBHOOK).find((code) => said.includes(code));
  if (worst) return { ...WEBHOOK[worst], isPast: worst !== "webhook_unverified" };
  const proven = account.evidence.length > 0 || Boolean(account.last_events?.webhook_at);
  return proven ? { ...VERIFIED, isPast: false } : { ...WEBHOOK.webhook_unverified, isPast: false };
}

/** Whether Meta reaches us for this account, as far as anything shows. */
export function isVerified(account) {
  return webhookOf(account).kind === "good";
}

/** Whether our access to the account has ended, so that no sync can succeed. */
export function isCutOff(account) {
  return account.reasons.some((reason) => CUT_OFF.has(reason.code));
}

/** The look of a number's status at Meta; null where all is well. A lost number has no quality or limit worth showing. */
export function numberStatus(phone) {
  if (LOST_NUMBER.has(phone.status)) return { isLost: true, kind: "bad", glyph: "cross", text: plain(phone.status) };
  if (phone.registered === false) return { isLost: false, kind: "bad", glyph: "cross", text: "Not registered" };
  if (!phone.status || phone.status === "CONNECTED") return null;
  return { isLost: false, kind: "wait", glyph: "alert", text: plain(phone.status) };
}

/**
 * What stands at the top: the status, which of several accounts it is about, and whether it is about a part only.
 * `about` are the accounts to name, none where it is about all of them.
 */
export function headline(accounts) {
  const [worst] = [...accounts].sort(byNeed);
  const about = accounts.filter((account) => account.status === worst.status);
  return {
    status: worst.status,
    count: about.length,
    of: accounts.length,
    partial: worst.status === "failing" && about.every(isPartial),
    about: accounts.length > 1 && worst.status !== "healthy" ? about : [],
  };
}

/** Reasons of several accounts that say the same, together: what is the same is said once, with the accounts in their order. */
export function grouped(reasons, accounts) {
  const groups = new Map();
  for (const reason of reasons) {
    const key = `${reason.code} ${reason.severity}`;
    const group = groups.get(key) ?? { key, reasons: [], accounts: [] };
    group.reasons.push(reason);
    group.accounts = accounts.filter((account) => group.reasons.some((each) => each.waba_id === account.waba_id));
    groups.set(key, group);
  }
  return [...groups.values()].flatMap((group) =>
    group.accounts.length > 1 ? [group] : group.reasons.map((reason) => ({ ...group, reasons: [reason], key: `${group.key} ${reason.waba_id} ${reason.message}` })));
}

const TROUBLE = {
  template_paused: ["PAUSED", "status", "paused"],
  template_disabled: ["DISABLED", "status", "disabled"],
  template_rejected: ["REJECTED", "status", "rejected"],
  template_flagged: ["FLAGGED", "notice", "flagged by Meta"],
  template_locked: ["LOCKED", "notice", "locked by Meta"],
  template_quality_red: ["RED", "quality", "disliked by customers"],
};

/** Of a group about templates how many there are in all, in which state, and whether the list can show just those. */
export function templatesOf({ reasons: [{ code }], accounts }) {
  const [value, field, words] = TROUBLE[code] ?? [];
  if (!value) return null;
  const count = accounts.reduce((sum, account) => sum + account.templates_needing_attention.filter((each) => each[field] === value).length, 0);
  return { count, words, status: field === "status" ? value : null };
}
