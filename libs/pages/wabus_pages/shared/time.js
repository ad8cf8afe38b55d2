// How moments are said: relative to now, by the clock of whoever reads, and exactly, with the zone, on demand.

import { h } from "./dom.js";

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY_CLOCK = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const STEPS = [["day", 86_400], ["hour", 3_600], ["minute", 60]];
const HOUR = 3_600_000; // ms

/** The moment with the zone of whoever reads. */
export const exact = (moment) => EXACT.format(new Date(moment));

/** `3 Dec, 14:05 CET`. */
export const dated = (moment) => DAY_CLOCK.format(new Date(moment));

/** `14:05`. */
export const clock = (moment) => CLOCK.format(new Date(moment));

/** A moment relative to now. It is a button: the exact one shows to whoever presses, points or asks. */
export function ago(moment, now = Date.now()) {
  return said(moment, (then) => relative(then, now));
}

/** When something comes: "in 4 minutes", "any moment". */
export function until(moment, now = Date.now()) {
  return said(moment, (then) => (then - now < 10_000 ? "any moment" : relative(then, now)));
}

/** Since when something is so: "3 minutes ago", "since 14:05", "since 3 Dec, 14:05 CET". */
export function since(moment, now = Date.now()) {
  return said(moment, (then) => {
    if (now - then < HOUR) return relative(then, now);
    return `since ${new Date(then).toDateString() === new Date(now).toDateString() ? clock(then) : dated(then)}`;
  });
}

/** A day, such as the one on which something ends. */
export function day(moment) {
  return said(moment, () => DAY.format(new Date(moment)));
}

function said(moment, words) {
  const then = new Date(moment).getTime();
  if (Number.isNaN(then)) return h("span", {}, "unknown");
  const iso = new Date(then).toISOString();
  return h("button", { class: "moment", type: "button", "data-action": "time", "data-time": iso, title: exact(then) },
    h("time", { datetime: iso }, words(then)));
}

export function relative(then, now) {
  const seconds = (then - now) / 1000;
  if (Math.abs(seconds) < 10) return "just now";
  if (Math.abs(seconds) < 60) return seconds < 0 ? "less than a minute ago" : "in less than a minute";
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

/** How long something took: `1 h 5 min`. */
export function lasting(ms) {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  const [days, hours] = [Math.floor(minutes / 1_440), Math.floor((minutes % 1_440) / 60)];
  const parts = [days && `${days} d`, hours && `${hours} h`, !days && minutes % 60 && `${minutes % 60} min`];
  return parts.filter(Boolean).join(" ");
}

/** Show the exact time of the moment that was pressed, beside it, until something else is. */
export function showExact(button) {
  const popover = document.getElementById("exact");
  popover.textContent = exact(button.dataset.time);
  popover.showPopover();
  const { left, bottom, top } = button.getBoundingClientRect();
  const { width, height } = popover.getBoundingClientRect();
  const below = bottom + 6 + height <= innerHeight;
  popover.style.setProperty("left", `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`);
  popover.style.setProperty("top", `${below ? bottom + 6 : top - height - 6}px`);
}
