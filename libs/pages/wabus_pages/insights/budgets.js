// How the month stands against its budgets and where it will end; and where administrators set the budgets.

import { h, icon } from "../shared/dom.js";
import { badge, isolated, named, number, plain, plural } from "../shared/words.js";
import { level } from "./chart.js";
import { choices, field, linkTo, section } from "./parts.js";
import { amountOf, dayOf, micros, money, monthOf, percent, price, verdict } from "./words.js";

const ROWS_MAX = 100;
const USUAL = { waba_id: "", month: "", currency: "", amount: "", thresholds: "50, 80, 100" };
const AMOUNT = /^\d{1,11}(\.\d{1,6})?$/;
let draft = null; // rows of the form while somebody changes the budgets
let wrong = []; // what of them can't be
let refused = "";
let version = null; // of the budgets that are changed; null where there were none
let others = null; // the budgets that somebody else has set while these were changed
let taken = false; // whether a change is on its way to be shown

/** What this month costs, against the budget and with what it will be at its end. */
export function monthCards(place, { forecast, budgets }, today) {
  return section({
    key: "month",
    title: forecast.data ? `${monthOf(forecast.data.month)} so far` : "This month",
    of: [forecast],
    content: () => forecast.data.forecasts.length
      ? [h("div", { class: "months" }, forecast.data.forecasts.map((one) => monthOfCurrency(one, wholeBudget(budgets.data, one.currency)))),
        h("p", { class: "fine" }, "By our own count, from what Meta tells of each message and from its rate cards; Meta's invoice is what you pay. ",
          linkTo({ ...place, view: "costs", template: null, experiment: null, days: "month" }, {}, "How each amount is known"))]
      : h("p", { class: "empty muted" }, `Nothing was charged in ${monthOf(forecast.data.month ?? today)}.`),
  });
}

/** The budget of the whole organisation in a currency, with how it stands. Pure. */
export function wholeBudget(found, currency) {
  return found?.budgets.find(({ waba_id, state, currency: of }) => waba_id === null && state && of === currency) ?? null;
}

function monthOfCurrency(one, budget) {
  const { currency } = one;
  const spent = budget ? budget.state.spent : one.spent;
  const ends = budget?.state.projected ? { expected: budget.state.projected, low: budget.state.low, high: budget.state.high } : one;
  return h("div", { class: "month", "data-key": currency },
    h("p", { class: "large" }, money(spent, currency)),
    budget
      ? [h("p", { class: "muted" }, `of a budget of ${money(budget.amount, currency)} (${percent(budget.state.share)})`),
        level(budget.state.share, budget.state.share >= 1 ? "bad" : "good", budget.thresholds.filter((each) => each < 100).map((each) => ({ at: each / 100, kind: "mark-line" }))),
        sentence(verdict({ spent, budget: budget.amount, currency, expected: ends.expected, low: ends.low, high: ends.high }))]
      : h("p", { class: "muted" }, "No budget is set for all accounts in this currency."),
    h("p", {}, outlook(ends, currency, one.covers)),
    one.unpriced ? h("p", { class: "note-line wait-text" }, icon("alert"), ` ${plural(one.unpriced, "message")} without a known price ${one.unpriced === 1 ? "is" : "are"} not in this sum.`) : null,
    one.price_changes.length ? h("details", { "data-key": "changes" }, h("summary", {}, `${plural(one.price_changes.length, "price change")} ahead`),
      h("ul", {}, one.price_changes.map(({ market, category, effective, before, after }) => h("li", {},
        `${plain(category)} to ${market}, from ${dayOf(effective)}: `, before === null ? price(after, currency) : `${price(before, currency)} → ${price(after, currency)}`)))) : null);
}

/** Where a month will end, in words. Pure. */
export function outlook({ expected, low, high }, currency, covers) {
  if (expected === null) return "What it will be at the month's end can't be said yet: too little is known of the past.";
  if (low === null) return `At the month's end about ${money(expected, currency)}; how far off that may be is not known yet.`;
  return `At the month's end about ${money(expected, currency)}, between ${money(low, currency)} and ${money(high, currency)} in ${number(Math.round(covers * 100))} of 100 such months.`;
}

const sentence = ({ kind, glyph, text }) => h("p", { class: `verdict ${kind}` }, icon(glyph), h("span", {}, text));

/** The budgets, and the form in which administrators set them. */
export function budgetsSection({ budgets, accounts }, { isAdmin }) {
  return section({
    key: "budgets",
    title: "Budgets",
    of: [budgets],
    beside: isAdmin && draft === null && budgets.data ? h("button", { class: "button quiet", type: "button", "data-action": "edit-budgets" }, budgets.data.budgets.length ? "Change" : "Set a budget") : null,
    content: () => (draft === null ? list(budgets.data.budgets, accounts, isAdmin) : form(accounts)),
  });
}

function list(found, accounts, isAdmin) {
  return [
    taken ? h("p", { class: "muted", role: "status" }, "The new budgets are taken; they show here in a moment.") : null,
    found.length ? h("ul", { class: "rows" }, found.map((budget) => row(budget, accounts)))
      : h("p", { class: "empty muted" }, isAdmin ? "No budget is set. With one you are told before it is spent." : "No budget is set. Administrators can set one."),
  ];
}

function row({ budget_id, waba_id, month, currency, amount, thresholds, state }, accounts) {
  const name = waba_id === null ? "All accounts" : named(accounts.get(waba_id) ?? waba_id);
  return h("li", { "data-key": budget_id },
    h("div", { class: "row-line" }, h("span", { class: "grow strong" }, name, h("span", { class: "muted" }, ` · ${month ? monthOf(month) : "every month"}`)),
      h("span", { class: "strong" }, money(amount, currency))),
    state ? [
      level(state.share, state.share >= 1 ? "bad" : "good", thresholds.filter((each) => each < 100).map((each) => ({ at: each / 100, kind: "mark-line" }))),
      h("p", {}, `${money(state.spent, currency)} spent (${percent(state.share)})`, state.projected === null ? "" : `, ${money(state.projected, currency)} expected at the month's end`, "."),
      state.unpriced ? h("p", { class: "wait-text" }, `${plural(state.unpriced, "message")} without a known price not counted.`) : null,
      state.alerts.map(({ alert, threshold, at }) => badge({ kind: threshold >= 100 ? "bad" : "wait", glyph: "alert", text: `${alert === "actual" ? "Reached" : "Expected to reach"} ${threshold} %, told ${dayOf(at)}` })),
    ] : h("p", { class: "muted" }, month ? "For another month, or another budget comes first." : "Another budget comes first this month."),
    h("p", { class: "fine" }, `You are told at ${thresholds.map((each) => `${each} %`).join(", ")}, of what is spent and of what is expected.`));
}

function form(accounts) {
  const of = (at) => wrong.filter(({ row: place }) => place === at);
  return h("form", { class: "budgets-form", "data-form": "budgets", novalidate: true },
    draft.map((one, at) => h("fieldset", { "data-key": `budget ${one.key}` },
      h("legend", { class: "unseen" }, `Budget ${at + 1}`),
      field("For", h("select", { name: "waba_id" }, choices([["", "All accounts"], ...[...accounts].map(([waba_id, name]) => [waba_id, `${isolated(name)} (${waba_id})`])], one.waba_id))),
      field("Month", input("month", one.month, of(at), { placeholder: "every month, or 2026-12", autocomplete: "off" })),
      field("Currency", input("currency", one.currency, of(at), { placeholder: "EUR", maxlength: 3, autocomplete: "off" })),
      field("Amount", input("amount", one.amount, of(at), { inputmode: "decimal", placeholder: "1250.50", autocomplete: "off" })),
      field("Tell at (%)", input("thresholds", one.thresholds, of(at), { inputmode: "numeric", autocomplete: "off" })),
      h("button", { class: "button text", type: "button", "data-action": "remove-budget", "data-at": at }, "Remove", h("span", { class: "unseen" }, ` budget ${at + 1}`)),
      of(at).length ? h("p", { class: "error", role: "alert", id: `wrong-${at}` }, of(at).map(({ text }) => text).join(" ")) : null)),
    draft.length ? null : h("p", { class: "muted" }, "No budget: nobody is told of what is spent."),
    h("div", { class: "actions start" },
      draft.length < ROWS_MAX ? h("button", { class: "button quiet", type: "button", "data-action": "add-budget" }, "Add a budget") : null,
      h("button", { class: "button" }, "Save"),
      h("button", { class: "button text", type: "button", "data-action": "cancel-budgets" }, "Cancel")),
    others ? h("div", { class: "error", role: "alert", "data-key": "others" },
      h("p", {}, "Somebody else has changed the budgets since you began. They are now:"),
      others.length ? h("ul", {}, others.map((one) => h("li", {}, inWords(one, accounts)))) : h("p", {}, "None."),
      h("p", {}, "Save once more to set yours in their place, or cancel to keep theirs.")) : null,
    refused ? h("p", { class: "error", role: "alert" }, refused) : null);
}

function inWords({ waba_id, month, currency, amount, thresholds }, accounts) {
  const whose = waba_id === null ? "All accounts" : named(accounts.get(waba_id) ?? waba_id);
  return [whose, ` · ${month ? monthOf(month) : "every month"}: ${money(amount, currency)}, told at ${thresholds.map((each) => `${each} %`).join(", ")}`];
}

function input(name, value, problems, attributes) {
  const isWrong = problems.some(({ field: of }) => of === name);
  return h("input", { name, value, "aria-invalid": isWrong ? "true" : null, ...attributes });
}

let made = 0;
const withKey = (one) => ({ ...one, key: (made += 1) });

/** Begin to change the budgets that there are; of none one is begun. */
export function edit(found, of, currency) {
  version = of;
  draft = found.map(({ waba_id, month, currency: of, amount, thresholds }) => withKey({ waba_id: waba_id ?? "", month: month ?? "", currency: of, amount: amountOf(micros(amount)), thresholds: thresholds.join(", ") }));
  if (!draft.length) draft = [withKey({ ...USUAL, currency: currency ?? "" })];
  [wrong, refused, taken, others] = [[], "", false, null];
}

/** Somebody else has set these budgets meanwhile: both are shown, and whoever saves once more knows what is replaced. */
export function meet(now, why) {
  if (!now || now.version === version) refused = why; // they could not be read anew
  else [others, version, refused] = [now.budgets, now.version, ""];
}

/** Headers by which a change is refused if somebody else has changed the budgets since they were read. */
export const onlyIfUnchanged = () => (version === null ? { "If-None-Match": "*" } : { "If-Match": `"${version}"` });

export function add(currency) {
  draft = [...rowsOf(), withKey({ ...USUAL, currency: currency ?? "" })];
}

export function remove(at) {
  draft = rowsOf().filter((_, place) => place !== at);
  wrong = [];
}

export function stopEditing({ isTaken = false } = {}) {
  draft = null;
  [wrong, refused, taken, others] = [[], "", isTaken, null];
}

export function settled() {
  taken = false;
}

/** Say why the budgets were not taken. */
export function refuse(why) {
  refused = why;
}

/** What stands in the form, or null where something of it can't be, which then is said. */
export function read() {
  draft = rowsOf();
  const found = budgetsOf(draft);
  wrong = found.wrong;
  refused = "";
  return found.wrong.length ? null : found.budgets;
}

function rowsOf() {
  const sets = [...document.querySelectorAll("[data-form=budgets] fieldset")];
  return sets.map((set, at) => ({ key: draft[at].key, ...Object.fromEntries([...set.querySelectorAll("[name]")].map(({ name, value }) => [name, value.trim()])) }));
}

/** Rows of the form as the API takes them, and what of them can't be. Pure. */
export function budgetsOf(rows) {
  const found = rows.map(({ waba_id, month, currency, amount, thresholds }) => ({
    waba_id: waba_id || null,
    month: month || null,
    currency: currency.toUpperCase(),
    amount,
    thresholds: [...new Set(thresholds.split(/[\s,;]+/).filter(Boolean).map((each) => (/^\d{1,4}$/.test(each) ? Number(each) : NaN)))].sort((a, b) => a - b),
  }));
  const problems = found.flatMap((one, row) => [
    one.month && !/^20\d\d-(0[1-9]|1[0-2])$/.test(one.month) ? { row, field: "month", text: "Write the month as 2026-12, or leave it empty for every month." } : null,
    /^[A-Z]{3}$/.test(one.currency) ? null : { row, field: "currency", text: "Write the currency with three letters, as EUR." },
    AMOUNT.test(one.amount) && Number(one.amount) > 0 ? null : { row, field: "amount", text: "Write the amount in digits with a point before the cents, and nothing between: 1250.50." },
    one.thresholds.length && one.thresholds.length <= 10 && one.thresholds.every((each) => each >= 1 && each <= 1_000) ? null : { row, field: "thresholds", text: "Write from one to ten whole numbers from 1 to 1000, as 50, 80, 100." },
  ].filter(Boolean));
  const seen = new Map();
  found.forEach((one, row) => {
    const key = `${one.waba_id} ${one.month} ${one.currency}`;
    if (seen.has(key)) problems.push({ row, field: "currency", text: `Budget ${seen.get(key) + 1} is for the same.` });
    else seen.set(key, row);
  });
  return { budgets: found, wrong: problems };
}
