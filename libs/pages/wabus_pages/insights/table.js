// The templates and what each achieves and costs, in the order that a person chooses.

import { h, icon } from "../shared/dom.js";
import { badge, isolated, language, named, number, plain, plural, quality, templateStatus, upright } from "../shared/words.js";
import { scrolled } from "./chart.js";
import { changeLine, changed, ofCost, ofCount, ofRate, toneOfRate } from "./changes.js";
import { costOf, eachOf } from "./costs.js";
import { linkTo, section } from "./parts.js";
import { ROWS_MOST, STEP, allTemplates, periodOf } from "./place.js";
import { longDay, share, zoneName } from "./words.js";

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

/** How many rows are asked for. */
export const rowsShown = () => shown;

export function showMore() {
  shown = Math.min(shown * 2, ROWS_MOST);
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
    path: allTemplates(place, today),
    content: () => content(place, templates.data, templates.busy, today),
  });
}

function content(place, { templates, total, earlier, next, period }, busy, today) {
  const isSearched = Boolean(place.q.trim());
  const { from, to } = period ?? periodOf(place, today);
  return [
    isSearched || !templates.length ? null : changed({ total, earlier }),
    h("p", { class: "fine" }, `Messages that Meta accepted from ${longDay(from)} to ${longDay(to)}, by the days of ${period?.time_zone ? zoneName(period.time_zone) : "each account's own time zone"}; whenever they were read or answered, they count here. `,
      "Reads are a lower bound: people may send no read receipts. Taps are of quick replies; beside them stands how often links and buttons were tapped, at least, where Meta tells that: for a week only, and not of accounts of the EU, the UK and Japan. Who stopped wanted no more marketing within seven days."),
    h("p", { id: "found", class: "muted", role: "status" }, howMany(templates.length, total.templates, { isSearched, hasMore: Boolean(next) })),
    templates.length ? table(place, templates, isSearched ? null : total) : h("p", { class: "empty muted" }, empty(place, total)),
    next && shown < ROWS_MOST ? h("div", { class: "more" }, h("button", { class: "button quiet", type: "button", "data-action": "more", "aria-disabled": String(busy) }, busy ? "Loading…" : "Show more")) : null,
  ];
}

/** How many templates there are, of which so many are shown. Pure. */
export function howMany(here, all, { isSearched, hasMore }) {
  if (isSearched) return hasMore ? `The first ${number(here)} that match, of ${plural(all, "template")}` : `${number(here)} of ${plural(all, "template")}`;
  if (!hasMore) return plural(all, "template");
  return `The first ${number(here)} of ${plural(all, "template")}${here < ROWS_MOST ? "" : "; search for the others, or take the CSV"}`;
}

function empty(place, { templates }) {
  if (templates) return "No template matches.";
  if (place.number || place.country) return "No template was sent in these days by this number or to this country.";
  return "No template was sent in these days. What is sent shows here within seconds, whichever system sends it.";
}

function table(place, rows, total) {
  return scrolled("Templates", h("table", { class: "templates-table" },
    h("thead", {}, h("tr", {}, COLUMNS.map(([name, title]) => heading(place, name, title)))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-key": `${row.waba_id} ${row.template_id}` }, h("th", { scope: "row" }, nameCell(place, row)), cells(row)))),
    total && total.templates > 1 ? h("tfoot", {}, h("tr", { "data-key": "together" },
      h("th", { scope: "row" }, total.templates > rows.length ? `All ${number(total.templates)} together` : "Together"), cells(total))) : null));
}

const cells = (row) => COLUMNS.slice(1).map(([name, , of]) => h("td", { class: `figure-cell ${name}` }, cell(row, name, of, costOf(row.costs)), change(row, name)));

/** What has changed, where that is compared. */
function change({ changes, meta_clicked: clicked }, name) {
  if (name === "clicked" && clicked) return h("span", { class: "muted fine" }, `at least ${number(clicked)} with links, as Meta counts`);
  if (!changes) return null;
  if (name === "delivered") return changeLine(ofCount(changes.delivered));
  if (name === "read") return changeLine(ofRate(changes.read_rate), toneOfRate(changes.read_rate));
  if (name === "cost") return (changes.costs ?? []).map((each) => changeLine(ofCost(each)));
  return null;
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
const isTroubled = (row) => !row.removed_at && (isStopped(row) || isLow(row));

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
