// How things are said: times, numbers, languages, and the words and looks of each status. Pure but for `ago`.

import { h, icon } from "./dom.js";

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const NUMBER = new Intl.NumberFormat("en");
const LANGUAGES = new Intl.DisplayNames("en", { type: "language", fallback: "none" });
const STEPS = [["day", 86_400], ["hour", 3_600], ["minute", 60]];

/** A moment relative to now; the exact one shows on hover and to screen readers that ask. */
export function ago(moment, now = Date.now()) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return h("span", {}, "unknown");
  return h("time", { datetime: date.toISOString(), title: EXACT.format(date) }, relative(date.getTime(), now));
}

export function relative(then, now) {
  const seconds = (then - now) / 1000;
  if (Math.abs(seconds) < 10) return "just now";
  if (Math.abs(seconds) < 60) return seconds < 0 ? "less than a minute ago" : "in less than a minute";
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

export function day(moment) {
  const date = new Date(moment);
  return h("time", { datetime: date.toISOString(), title: EXACT.format(date) }, DAY.format(date));
}

export const number = (value) => NUMBER.format(value ?? 0);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** `SOME_CODE` as people write it. */
export function plain(code) {
  const words = String(code ?? "").replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function language(code) {
  try {
    return LANGUAGES.of(code.replaceAll("_", "-")) ?? code;
  } catch {
    return code;
  }
}

/** A status as an icon and a word in a colour. */
export function badge({ kind, glyph, text }) {
  return h("span", { class: `badge ${kind}` }, icon(glyph), text);
}

export const OVERALL = {
  healthy: { kind: "good", glyph: "check", text: "Healthy", title: "Everything is working" },
  pending: { kind: "wait", glyph: "clock", text: "Setting up", title: "Almost there" },
  degraded: { kind: "wait", glyph: "alert", text: "Needs attention", title: "Working, but something needs you" },
  failing: { kind: "bad", glyph: "cross", text: "Not working", title: "WhatsApp is not working right now" },
};

export const SEVERITY = {
  failing: { kind: "bad", glyph: "cross", text: "Problem" },
  degraded: { kind: "wait", glyph: "alert", text: "Warning" },
  pending: { kind: "wait", glyph: "clock", text: "In progress" },
  notice: { kind: "plain", glyph: "info", text: "Good to know" },
};

export const SYNC = {
  synced: { kind: "good", glyph: "check", text: "Up to date" },
  syncing: { kind: "wait", glyph: "sync", text: "Syncing" },
  never: { kind: "wait", glyph: "clock", text: "Not synced yet" },
  failed: { kind: "bad", glyph: "cross", text: "Last sync failed" },
};

const TEMPLATE = {
  APPROVED: ["good", "check"],
  PENDING: ["wait", "clock"],
  IN_APPEAL: ["wait", "clock"],
  PENDING_DELETION: ["wait", "clock"],
  PAUSED: ["wait", "pause"],
  FLAGGED: ["wait", "alert"],
  LOCKED: ["wait", "pause"],
  REJECTED: ["bad", "cross"],
  DISABLED: ["bad", "cross"],
};

export function templateStatus(status) {
  const [kind, glyph] = TEMPLATE[status] ?? ["plain", "info"];
  return { kind, glyph, text: plain(status) };
}

const QUALITY = {
  GREEN: { kind: "good", text: "High quality" },
  YELLOW: { kind: "wait", text: "Medium quality" },
  RED: { kind: "bad", text: "Low quality" },
  FLAGGED: { kind: "bad", text: "Flagged by Meta" },
};

export function quality(score) {
  const { kind, text } = QUALITY[score] ?? { kind: "plain", text: "No rating yet" };
  return h("span", { class: `quality ${kind}` }, h("i", { "aria-hidden": "true" }), text);
}

/** Meta's "Messaging limits": customers that the business may start a conversation with, in 24 hours. */
export function limit(tier) {
  if (!tier || tier === "TIER_NOT_SET") return "Limit not known yet";
  const size = tier.replace("TIER_", "");
  if (size === "UNLIMITED") return "Unlimited customers a day";
  const count = Number(size.replace("K", "")) * (size.endsWith("K") ? 1000 : 1);
  return Number.isFinite(count) ? `${number(count)} customers a day` : plain(tier);
}
