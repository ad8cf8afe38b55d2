// How conversations are said: who it is, what was said last, when, and how long an answer may be written. Pure.

import { plain, upright } from "../shared/words.js";

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "long" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATE_YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const DAY = 86_400_000; // ms
const HOUR = 3_600_000; // ms
const MINUTE = 60_000; // ms
const NAME_MAX = 120; // characters of a name where it can't be cut by the page
export const SOON = 2 * HOUR; // before its end a window is shown as closing

const KINDS = {
  image: "Photo", video: "Video", audio: "Voice message", document: "Document", sticker: "Sticker", location: "Location",
  contacts: "Contact", order: "Order", template: "Template", interactive: "Message with buttons", button: "Answer",
  call: "Call", unsupported: "A message that WhatsApp does not pass on", media_placeholder: "Photo or file", system: "Notice",
};

/** What a message of a type is called where it says nothing in words. */
export const kindOf = (type) => KINDS[type] ?? plain(type);

/** `+49 151 123 4567` of Meta's digits: the country's code (ITU-T E.164 has them by their first digits), then groups. */
export function phoneNumber(digits) {
  const found = String(digits ?? "").replace(/\D/g, "");
  if (!found) return "";
  const [code] = found.match(/^(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3}|\d+)/);
  return `+${[code, ...(found.slice(code.length).match(/\d{3}(?!\d$)|\d+/g) ?? [])].join(" ")}`;
}

/** What to call whom a conversation is with. */
export function nameOf({ contact, group_id }) {
  if (!contact) return group_id ? "Group" : "Somebody";
  return personName(contact);
}

export function personName({ book_name, name, username, numbers = [], user_ids = [] }) {
  const found = [book_name, name, username && `@${String(username).replace(/^@/, "")}`].map((each) => cut(upright(each))).find(Boolean);
  return found ?? (phoneNumber(numbers[0]) || user_ids[0] || "Somebody");
}

function cut(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > NAME_MAX ? `${[...line.slice(0, NAME_MAX)].join("")}…` : line;
}

/** Two letters for the round mark beside a name. */
export function initials(name) {
  const words = name.replace(/[^\p{L}\p{N}\s]/gu, "").split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0].toUpperCase()).join("") || "#";
}

/** One line of what was said last: `{text, prefix}`. */
export function lastWords(last) {
  if (!last) return { prefix: "", text: "Messages of before the connection" };
  const prefix = last.direction === "out" ? "You: " : "";
  if (last.revoked) return { prefix, text: "Deleted message" };
  return { prefix, text: upright(last.text ?? "").replace(/\s+/g, " ").slice(0, 200) || kindOf(last.type) };
}

/** `14:05`, `Yesterday`, `Tuesday`, `3 Dec`, `3 Dec 2025`. */
export function shortTime(moment, now = Date.now()) {
  const then = new Date(moment);
  const days = daysBetween(then, new Date(now));
  if (days <= 0) return CLOCK.format(then);
  if (days === 1) return "Yesterday";
  if (days < 7) return WEEKDAY.format(then);
  return (now - then > 300 * DAY ? DATE_YEAR : DATE).format(then);
}

/** The day of a mark in the thread. */
export function dayName(moment, now = Date.now()) {
  const then = new Date(moment);
  const days = daysBetween(then, new Date(now));
  if (days <= 0) return "Today";
  return days === 1 ? "Yesterday" : days < 7 ? WEEKDAY.format(then) : DATE_YEAR.format(then);
}

function daysBetween(one, other) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((midnight(other) - midnight(one)) / DAY);
}

/** A conversation's window at a moment: `{state, left}`, left in ms while it is open. A group has none. */
export function windowAt({ window }, now = Date.now()) {
  if (!window) return { state: "none", left: null };
  const left = window.closes_at ? new Date(window.closes_at).getTime() - now : null;
  if (window.state === "open" && left !== null && left <= 0) return { state: "closed", left: null };
  return { state: window.state, left: window.state === "open" ? left : null };
}

/** `23 h`, `1 h 20`, `12 min`. */
export function left(ms) {
  if (ms >= SOON * 2) return `${Math.floor(ms / HOUR)} h`;
  if (ms >= HOUR) return `${Math.floor(ms / HOUR)} h ${Math.floor((ms % HOUR) / MINUTE)} min`;
  return `${Math.max(1, Math.floor(ms / MINUTE))} min`;
}

const TICKS = {
  sending: ["clock", "Being sent"],
  waiting: ["clock", "Waits for the connection"],
  queued: ["clock", "Waits for its turn"],
  calling: ["clock", "WhatsApp is being asked"],
  accepted: ["check", "WhatsApp has it"],
  held: ["check", "WhatsApp holds it back for now"],
  sent: ["check", "Sent"],
  delivered: ["checks", "Delivered"],
  read: ["checks", "Read"],
  played: ["checks", "Played"],
  failed: ["alert", "Not delivered"],
  refused: ["alert", "Not sent"],
  expired: ["alert", "Not sent in time"],
  cancelled: ["cross", "Cancelled"],
  unknown: ["alert", "Perhaps sent"],
};

/** How far a message has come: an icon and words; null where there is nothing to say. */
export function ticks(state) {
  const found = TICKS[state];
  return found ? { glyph: found[0], text: found[1], state } : null;
}
