// What messages cost, by day and by what they are of; each amount says how it is known, and currencies are never added.

import { h, icon } from "../shared/dom.js";
import { named, number, plain, plural, upright } from "../shared/words.js";
import { figure, scrolled } from "./chart.js";
import { choices, fact, field, section } from "./parts.js";
import { GROUPS, daysOf, isFiltered, needsOf } from "./place.js";
import { KNOWN, dayOf, longDay, money, price } from "./words.js";

const SURE = ["reported", "rated", "estimated"]; // what has an amount other than nothing
const NAMES = { reported: "Told by Meta with each message", rated: "By Meta's rate card", estimated: "Estimated" };

/** What a template cost in the days that are shown, by its costs in each currency: `text` and `how` it is known. Null where nothing is known of it. Pure. */
export function costOf(rows) {
  if (!rows?.length) return null;
  const priced = rows.filter(({ amount }) => amount !== null);
  const unpriced = rows.reduce((total, row) => total + row.unpriced, 0);
  if (!priced.length) return { text: "not known", how: unpricedOf(unpriced) };
  const worst = ["estimated", "rated"].find((known) => rows.some(({ parts }) => parts.some((part) => part.known === known)));
  return {
    text: priced.map(({ amount, currency }) => money(amount, currency)).join(" + "),
    how: [worst ? KNOWN[worst] : null, unpriced ? `${number(unpriced)} not priced` : null].filter(Boolean).join("; ") || null,
    one: unpriced || rows.length > 1 ? null : rows[0],
  };
}

const unpricedOf = (volume) => `${plural(volume, "message")} without a known price`;

/** What one of so many cost on average, with as many digits as tell prices apart; null where that can't be said. Pure. */
export function eachOf(row, count) {
  return row && count > 0 ? price(Number((Number(row.amount) / count).toPrecision(3)).toFixed(6), row.currency) : null;
}

/** The sections of the view. */
export function costSections(place, { byDay, byGroup, numbers }, today) {
  const needs = needsOf(place, today);
  const [group, title] = GROUPS.find(([name]) => name === place.group);
  return [
    isFiltered(place) ? h("p", { class: "note plain", "data-key": "unfiltered" }, icon("info"), h("span", {}, "The days and their parts are of the number and the country that are chosen; the month and the budgets are of all.")) : null,
    section({ key: "costs-day", title: "Cost by day", of: [byDay], path: needs["costs day"], name: "costs by day", content: () => byDays(byDay.data) }),
    section({
      key: "costs-group", title: `Cost by ${title.toLowerCase()}`, of: [byGroup], path: needs["costs group"], name: `costs by ${group}`,
      beside: field("By", h("select", { "data-set": "group" }, choices(GROUPS, group)), { class: "field beside" }),
      content: () => byGroups(byGroup.data, title, (key) => nameOf(group, key, { numbers, templates: byGroup.data.names ?? {} })),
    }),
  ];
}

function byDays({ from, to, costs, totals }) {
  if (!totals.length) return h("p", { class: "empty muted" }, "Nothing was charged in these days.");
  const days = daysOf({ from, to });
  return [
    h("p", { class: "fine" }, `Messages from ${longDay(from)} to ${longDay(to)}, by the days of each account's own time zone. Currencies are not added up.`),
    totals.map((total) => h("div", { "data-key": total.currency ?? "none", class: "currency" },
      h("p", { class: "large" }, total.amount === null ? "Not known" : money(total.amount, total.currency)),
      h("p", { class: "muted" }, `${plural(total.volume, "message")} delivered`),
      knownParts(total),
      total.amount === null ? null : ofCurrency(total, costs.filter(({ currency }) => currency === total.currency), days))),
  ];
}

/** How an amount is known, part by part; what has no price is said as loud as what has. */
function knownParts({ parts, currency, unpriced }) {
  return [
    h("dl", { class: "fact-grid" }, parts.filter(({ known }) => known !== "unknown").map(({ known, volume, amount }) =>
      fact(upper(KNOWN[known] ?? known), known === "free" ? plural(volume, "message") : money(amount, currency), known === "free" ? null : ` ${plural(volume, "message")}`))),
    unpriced ? h("p", { class: "wait-text" }, icon("alert"), ` ${plural(unpriced, "message")} without a known price ${unpriced === 1 ? "is" : "are"} not in this sum.`) : null,
  ];
}

function ofCurrency({ currency, amount }, rows, days) {
  const by = new Map(rows.map((row) => [row.key, row]));
  const series = SURE.map((known) => ({ known, name: NAMES[known], texts: days.map((day) => by.get(day)?.parts.find((part) => part.known === known)?.amount ?? "0") }))
    .filter(({ texts }) => texts.some((text) => Number(text)))
    .map(({ known, name, texts }) => ({ name, kind: SURE.indexOf(known) + 1, values: texts.map(Number), texts }));
  if (!series.length) return null; // nothing but what is free
  return figure({
    key: `costs ${currency}`, title: `Each day, in ${currency ?? "an unknown currency"}`, labels: days.map(dayOf), series, stacked: true,
    said: (value) => price(value.toFixed(6), currency), cells: series.map(({ texts }) => texts.map((text) => money(text, currency))),
    summary: `Cost by day from ${dayOf(days[0])} to ${dayOf(days.at(-1))}: ${money(amount, currency)} in all.`,
  });
}

function byGroups({ costs, next }, title, nameOf) {
  if (!costs.length) return h("p", { class: "empty muted" }, "Nothing was charged in these days.");
  const rows = [...costs].sort((one, other) => ((one.currency ?? "") < (other.currency ?? "") ? -1 : (one.currency ?? "") > (other.currency ?? "") ? 1 : Number(other.amount ?? -1) - Number(one.amount ?? -1)));
  return [
    scrolled(title, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, title), ["Messages", "Cost"].map((name) => h("th", { scope: "col", class: "figure-cell" }, name)), h("th", { scope: "col" }, "How it is known"))),
      h("tbody", {}, rows.map((row) => h("tr", { "data-key": `${row.key} ${row.currency}` }, h("th", { scope: "row" }, nameOf(row.key)), h("td", { class: "figure-cell" }, number(row.volume)),
        h("td", { class: "figure-cell" }, row.amount === null ? "not known" : money(row.amount, row.currency)), h("td", { class: "prose" }, how(row))))))),
    next ? h("p", { class: "muted" }, "There are more; the CSV has them all.") : null,
  ];
}

function how({ parts, currency }) {
  if (parts.length === 1) return upper(KNOWN[parts[0].known] ?? parts[0].known);
  return parts.map(({ known, volume, amount }) => (known === "unknown" ? unpricedOf(volume) : `${known === "free" ? plural(volume, "message") : money(amount, currency)} ${KNOWN[known] ?? known}`)).join("; ");
}

function nameOf(group, key, { numbers, templates }) {
  if (!key) return { template: "No template", campaign: "No campaign", number: "Number not known", market: "Market not known" }[group] ?? "Not known";
  if (group === "category") return plain(key);
  if (group === "number") return named(numbers.get(key) ?? key);
  if (group === "template") return named(upright(templates[key]) || key);
  return named(key);
}

const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
