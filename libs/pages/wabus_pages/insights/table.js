// The templates and what each achieves and costs, in the order that a person chooses.

import { h, icon } from "../shared/dom.js";
import { badge, isolated, language, named, number, plain, plural, quality, templateStatus, upright } from "../shared/words.js";
import { scrolled } from "./chart.js";
import { costOf, costOfAll, eachOf } from "./costs.js";
import { linkTo, section } from "./parts.js";
import { inOrder, needsOf, periodOf } from "./place.js";
import { longDay, share, zoneName } from "./words.js";

const STEP = 50; // rows, until more are asked for
const COLUMNS = [
  ["name", "Template"],
  ["accepted", "Accepted"],
  ["delivered", "Delivered", "accepted"],
  ["read", "Read", "delivered"],
  ["replied", "Replied", "delivered"],
  ["clicked", "Tapped", "delivered"],
  ["stopped", "Stopped", "delivered"],
  ["failed", "Failed", "accepted"],
  ["cost", "Cost"],
];
let shown = STEP;

export function showMore() {
  shown += STEP;
}

/** Forget how many rows were asked for. */
export function fewer() {
  shown = STEP;
}

export function templatesTable(place, { templates }, today) {
  return section({
    key: "templates",
    title: "Templates",
    of: [templates],
    path: needsOf(place, today).templates,
    content: () => content(place, templates.data, today),
  });
}

function content(place, { templates, next, period }, today) {
  const words = place.q.trim().toLowerCase();
  const found = templates.filter(({ name, template_id }) => !words || `${name ?? ""} ${(name ?? "").replaceAll("_", " ")} ${template_id}`.toLowerCase().includes(words));
  const { from, to } = period ?? periodOf(place, today);
  return [
    h("p", { class: "fine" }, `Messages that Meta accepted from ${longDay(from)} to ${longDay(to)}, by the days of ${period?.time_zone ? zoneName(period.time_zone) : "each account's own time zone"}; whenever they were read or answered, they count here. `,
      "Reads are a lower bound: people may send no read receipts. Taps are of quick replies; taps on links Meta alone counts. Who stopped wanted no more marketing within seven days."),
    h("p", { id: "found", class: "muted", role: "status" }, words ? `${number(found.length)} of ${plural(templates.length, "template")}` : plural(templates.length, "template"),
      next ? " (the first by what they are ordered by; there are more)" : ""),
    found.length ? table(place, found, { isWhole: !next }) : h("p", { class: "empty muted" }, empty(place, templates)),
    found.length > shown ? h("div", { class: "more" }, h("button", { class: "button quiet", type: "button", "data-action": "more" }, `Show ${number(Math.min(STEP, found.length - shown))} more`)) : null,
  ];
}

function empty(place, templates) {
  if (templates.length) return "No template matches.";
  if (place.number || place.country) return "No template was sent in these days by this number or to this country.";
  return "No template was sent in these days. What is sent shows here within seconds, whichever system sends it.";
}

function table(place, found, { isWhole }) {
  const rows = inOrder(found, place).slice(0, shown);
  return scrolled("Templates", h("table", { class: "templates-table" },
    h("thead", {}, h("tr", {}, COLUMNS.map(([name, title]) => heading(place, name, title)))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-key": `${row.waba_id} ${row.template_id}` },
      h("th", { scope: "row" }, nameCell(place, row)),
      COLUMNS.slice(1).map(([name, , of]) => h("td", { class: `figure-cell ${name}` }, cell(row, name, of, costOf(row.costs))))))),
    isWhole && found.length > 1 ? h("tfoot", {}, together(found)) : null));
}

/** What they achieved and cost together; only said where all of them are known. */
function together(found) {
  const row = Object.fromEntries(COLUMNS.slice(1, -1).map(([name]) => [name, found.reduce((total, each) => total + each[name], 0)]));
  return h("tr", { "data-key": "together" }, h("th", { scope: "row" }, "Together"),
    COLUMNS.slice(1).map(([name, , of]) => h("td", { class: `figure-cell ${name}` }, cell(row, name, of, costOfAll(found)))));
}

function heading(place, name, title) {
  const isBy = place.sort === name;
  const next = isBy ? (place.order === "desc" ? "asc" : "desc") : name === "name" ? "asc" : "desc";
  return h("th", { scope: "col", class: name === "name" ? null : "figure-cell", "aria-sort": isBy ? (place.order === "asc" ? "ascending" : "descending") : null },
    h("button", { class: "sort", type: "button", "data-action": "sort", "data-sort": name, "data-order": next }, title,
      isBy ? icon("chevron", place.order === "asc" ? "up" : "") : null));
}

function nameCell(place, row) {
  return [
    linkTo({ ...place, template: row.template_id }, { class: "name" }, named(upright(row.name) || row.template_id)),
    h("span", { class: "muted fine" }, [row.language ? language(row.language) : null, row.category ? plain(row.category) : null, row.removed_at ? "Deleted" : null].filter(Boolean).join(" · ")),
    isTroubled(row) ? signs(row) : null,
  ];
}

const isStopped = ({ status }) => Boolean(status) && !["APPROVED", "ARCHIVED"].includes(status);
const isLow = ({ quality: score }) => !["GREEN", "UNKNOWN", null, undefined].includes(score);

/** Whether people think badly of a template that is there, or Meta lets it not be sent. Pure. */
export const isTroubled = (row) => !row.removed_at && (isStopped(row) || isLow(row));

/** What is wrong with a template. */
export const signs = (row) => h("span", { class: "signs" }, isStopped(row) ? badge(templateStatus(row.status)) : null, isLow(row) ? quality(row.quality) : null);

function cell(row, name, of, cost) {
  if (name === "cost") {
    if (!cost) return "–";
    const each = eachOf(cost.one, cost.one?.volume);
    return [h("span", {}, cost.text), [each ? `${each} each` : null, cost.how].filter(Boolean).map((words) => h("span", { class: "muted fine" }, words))];
  }
  if (!of) return number(row[name]);
  return [h("span", {}, share(row[name], row[of])), h("span", { class: "muted fine" }, `${number(row[name])} of ${number(row[of])}`)];
}

/** What is said of the order to who listens. */
export function saidOrder({ sort, order }) {
  return `Ordered by ${COLUMNS.find(([name]) => name === sort)[1].toLowerCase()}, ${order === "asc" ? "the least" : "the most"} first.`;
}

export const titleOf = (template) => isolated(template?.name ?? template?.template_id ?? "Template");
