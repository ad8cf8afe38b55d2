// How numbers, codes, languages, lists, other people's names, and the state of templates and numbers are said. Pure.

import { h, icon } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en");
const LANGUAGES = new Intl.DisplayNames("en", { type: "language", fallback: "none" });
const TURNS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LISTED = 3; // names in a sentence; the others are counted

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

/** A name without the characters that turn the text around it; of nothing else it may consist. */
export function upright(name) {
  return String(name ?? "").replace(TURNS, "").trim();
}

/** A name in the page: whatever its direction, the text around it keeps its own. */
export function named(name, attributes = {}) {
  return h("bdi", attributes, upright(name));
}

/** A name in plain text, as of an attribute or an option: isolated by characters (UAX 9, FSI and PDI). */
export function isolated(name) {
  return `\u2068${upright(name)}\u2069`;
}

/** `A`, `A and B`, `A, B and 7 more`; the parts are nodes or texts. */
export function listed(parts) {
  const shown = parts.length > LISTED + 1 ? [...parts.slice(0, LISTED), `${number(parts.length - LISTED)} more`] : parts;
  return shown.flatMap((part, at) => (at === 0 ? [part] : [at === shown.length - 1 ? " and " : ", ", part]));
}

/** A status as an icon and a word in a colour. */
export function badge({ kind, glyph, text }) {
  return h("span", { class: `badge ${kind}` }, icon(glyph), text);
}

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
