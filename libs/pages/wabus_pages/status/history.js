// How health was over the last days: a bar for each day, and below them the changes, with why and for how long.

import { h } from "../shared/dom.js";
import { dated, lasting } from "../shared/time.js";
import { badge, isolated, number, plural } from "../shared/words.js";
import { DAYS } from "./store.js";
import { OVERALL } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const DAY = 86_400_000; // ms
const SHOWN = 6; // changes, until more are asked for
const RANK = ["healthy", "pending", "degraded", "failing"];
const DAY_NAME = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** The card, or null where there is nothing to show. */
export function historyCard({ history, historyFailed }, accounts, { all, now = Date.now() }) {
  if (!accounts.length || (history === null ? !historyFailed : !history.length)) return null;
  if (history === null) {
    return h("section", { class: "card", "data-key": "history", "aria-labelledby": "history-title" },
      h("h2", { id: "history-title" }, "Last 30 days"),
      h("p", { class: "error" }, "What happened can't be shown right now. ", h("button", { class: "button text flush", type: "button", "data-action": "retry-history" }, "Try again")));
  }
  const spans = spansOf(history, now);
  const days = daysOf(spans, now);
  const changes = spans.filter((span) => span.until > now - DAYS * DAY);
  const shown = all ? changes : changes.slice(0, SHOWN);
  const names = new Map(accounts.map(({ waba_id, name }) => [waba_id, name]));
  return h("section", { class: "card history", "data-key": "history", "aria-labelledby": "history-title" },
    h("h2", { id: "history-title" }, `Last ${DAYS} days`),
    bars(days),
    h("div", { class: "bars-ends fine", "aria-hidden": "true" }, h("span", {}, DAY_NAME.format(days[0].at)), h("span", {}, "today")),
    h("p", { class: "muted" }, summed(days)),
    shown.length ? h("ol", { class: "changes" }, shown.map((span) => changeItem(span, names, now))) : h("p", { class: "muted" }, "Nothing has changed."),
    changes.length > shown.length ? h("button", { class: "button text", type: "button", "data-action": "all-history" }, `Show all ${plural(changes.length, "change")}`) : null);
}

/** The changes as stretches of time, the newest first: status, why, from when until when. Pure. */
export function spansOf(history, now) {
  return history.map((change, at) => {
    const newer = history[at - 1];
    return {
      id: change.id,
      status: change.to,
      reasons: change.reasons.filter((reason) => reason.severity !== "notice"),
      from: new Date(change.since).getTime(),
      until: newer ? new Date(newer.since).getTime() : now,
      isNow: !newer,
    };
  });
}

/** Each of the last days with the worst status that it had, null before anything was known. Pure. */
export function daysOf(spans, now) {
  const today = new Date(now);
  return Array.from({ length: DAYS }, (_, back) => {
    const begin = new Date(today.getFullYear(), today.getMonth(), today.getDate() - (DAYS - 1 - back)).getTime();
    const end = Math.min(new Date(today.getFullYear(), today.getMonth(), today.getDate() - (DAYS - 2 - back)).getTime(), now);
    const during = spans.filter((span) => span.from < end && span.until > begin);
    const worst = during.reduce((found, { status }) => (found === null || RANK.indexOf(status) > RANK.indexOf(found) ? status : found), null);
    return { at: begin, worst };
  });
}

function bars(days) {
  const svg = document.createElementNS(SVG, "svg");
  const set = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, String(value)));
  set(svg, { class: "bars", viewBox: `0 0 ${DAYS * 10} 32`, preserveAspectRatio: "none", role: "img", "aria-label": summed(days) });
  days.forEach(({ at, worst }, index) => {
    const rect = document.createElementNS(SVG, "rect");
    const height = { failing: 32, degraded: 24, pending: 24, healthy: 16 }[worst] ?? 6; // not by colour alone
    set(rect, { class: OVERALL[worst]?.kind ?? "plain", x: index * 10 + 1, y: 32 - height, width: 8, height, rx: 1.5 });
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${DAY_NAME.format(at)}: ${worst ? OVERALL[worst].text.toLowerCase() : "not known"}`;
    rect.append(title);
    svg.append(rect);
  });
  return svg;
}

function summed(days) {
  const count = (status) => days.filter(({ worst }) => worst === status).length;
  const known = days.filter(({ worst }) => worst).length;
  const parts = [[count("failing"), "with something not working"], [count("degraded"), "that needed attention"]]
    .filter(([found]) => found).map(([found, words]) => `${plural(found, "day")} ${words}`);
  return parts.length ? `${parts.join(", ")}, of ${number(known)}.` : `${plural(known, "day")} without trouble.`;
}

function changeItem({ id, status, reasons, from, until, isNow }, names, now) {
  const look = OVERALL[status] ?? OVERALL.pending;
  const why = [...new Set(reasons.map(({ message, waba_id }) => (names.size > 1 && names.has(waba_id) ? `${isolated(names.get(waba_id))}: ${message}` : message)))];
  return h("li", { "data-key": id },
    badge(look),
    h("div", { class: "grow" },
      why.slice(0, 3).map((sentence) => h("p", { dir: "auto" }, sentence)),
      why.length > 3 ? h("p", { class: "muted" }, `and ${number(why.length - 3)} more`) : null,
      h("p", { class: "fine" }, dated(from), isNow ? " until now" : [" – ", dated(until)], ` · ${lasting((isNow ? now : until) - from)}`)));
}
