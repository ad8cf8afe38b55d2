// How amounts, shares, days and their sources are said. Nothing is rounded into what is not so. Pure.

import { number } from "../shared/words.js";

const MICROS = 1_000_000n; // of one unit of a currency
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const DAY_LONG = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const COUNTRIES = new Intl.DisplayNames("en", { type: "region", fallback: "none" });

/** How an amount is known, as the API says it, in words. */
export const KNOWN = {
  reported: "told by Meta with each message",
  free: "free by Meta's word",
  rated: "by Meta's rate card",
  estimated: "estimated",
  unknown: "price not known",
};

/** A zone of IANA's as people read it. */
export const zoneName = (zone) => zone.replaceAll("_", " ");

/** A share from 0 to 1 in per cent. It says 0 or 100 only of nothing and of all. */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const rounded = Math.round(share * 1_000) / 10;
  if (share > 0 && rounded === 0) return "<0.1 %";
  if (share < 1 && rounded >= 100) return ">99.9 %";
  if (share > 1 && rounded <= 100) return ">100 %";
  return `${number(rounded)} %`;
}

/** A part of a whole in per cent; of nothing there is none. */
export const share = (part, whole) => (whole ? percent(part / whole) : "–");

/** A difference of shares in points, with its sign: `+4.1`, `−1.2`, `0.0`. */
export function points(value) {
  const rounded = Math.round(value * 1_000) / 10;
  return rounded ? `${rounded > 0 ? "+" : "−"}${Math.abs(rounded).toFixed(1)}` : "0.0";
}

/** An amount of money as text in millionths, exactly. */
export function micros(amount) {
  const [, sign, whole, part = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(amount)) ?? [];
  if (whole === undefined) return null;
  const found = BigInt(whole) * MICROS + BigInt(part.slice(0, 6).padEnd(6, "0"));
  return sign ? -found : found;
}

/** Millionths as an amount of money in text. */
export function amountOf(found) {
  const positive = found < 0n ? -found : found;
  const part = String(positive % MICROS).padStart(6, "0").replace(/0+$/, "");
  return `${found < 0n ? "-" : ""}${positive / MICROS}${part && `.${part}`}`;
}

/** The sum of amounts of one currency, in text. */
export const sum = (amounts) => amountOf(amounts.reduce((total, amount) => total + (micros(amount) ?? 0n), 0n));

/** An amount as people write it. What is less than can be paid in the currency is not said to be nothing. */
export function money(amount, currency) {
  const exact = micros(amount);
  if (exact === null) return "–";
  let format;
  try {
    format = new Intl.NumberFormat("en", { style: "currency", currency });
  } catch {
    return `${amountOf(exact)} ${currency ?? ""}`.trim(); // not a currency that is known
  }
  const digits = format.resolvedOptions().maximumFractionDigits;
  const least = MICROS / 10n ** BigInt(digits);
  const positive = exact < 0n ? -exact : exact;
  if (positive && positive * 2n < least) return `${exact < 0n ? ">−" : "<"}${format.format(amountOf(least))}`;
  return format.format(amountOf(exact));
}

/** A price of one message, with all the digits that it has. */
export function price(amount, currency) {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: 6 }).format(amountOf(micros(amount)));
  } catch {
    return "–";
  }
}

/** `3 Dec` of `2026-12-03`, in no zone but its own. */
export const dayOf = (iso) => DAY.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`));

/** `Thu, 3 Dec 2026`. */
export const longDay = (iso) => DAY_LONG.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`));

/** `December 2026` of `2026-12`. */
export const monthOf = (iso) => MONTH.format(new Date(`${iso.slice(0, 7)}-01T00:00:00Z`));

/** A country's name by its two letters. */
export function country(code) {
  if (!code) return "Country not known";
  try {
    return COUNTRIES.of(code) ?? code;
  } catch {
    return code;
  }
}

/** How long something took, in seconds, in the unit that people would use. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return seconds < 1 ? "less than a second" : `${number(Math.round(seconds))} s`;
  if (seconds < 5_400) return `${number(Math.round(seconds / 60))} min`;
  if (seconds < 172_800) return `${number(Math.round(seconds / 3_600))} h`;
  return `${number(Math.round(seconds / 86_400))} days`;
}

/**
 * How a month stands against a budget: `kind`, and a sentence. `expected`, `low` and `high` are of its end, null where
 * too little is known.
 */
export function verdict({ spent, budget, currency, expected = null, low = null, high = null }) {
  const [has, may, will, least, most] = [spent, budget, expected, low, high].map((each) => (each === null ? null : micros(each)));
  const over = (found) => money(amountOf(found - may), currency);
  if (has > may) return { kind: "bad", glyph: "cross", text: `Over the budget by ${over(has)}.` };
  if (has === may && may) return { kind: "bad", glyph: "alert", text: "The budget is used up." };
  if (least !== null && least > may) return { kind: "bad", glyph: "alert", text: `On the way to more than the budget, by ${over(will)} or so.` };
  if (will !== null && will > may) return { kind: "wait", glyph: "alert", text: `Probably more than the budget, by ${over(will)} or so.` };
  if (most !== null && most > may) return { kind: "wait", glyph: "info", text: "Probably within the budget, but not surely." };
  if (most !== null) return { kind: "good", glyph: "check", text: "On the way to stay within the budget." };
  if (will !== null) return { kind: "good", glyph: "check", text: "Expected to stay within the budget; how surely is not known yet." };
  return { kind: "plain", glyph: "info", text: "Within the budget so far; too little is known to look ahead." };
}
