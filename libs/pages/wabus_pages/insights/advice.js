// What might be done otherwise, and what that would save: with what was counted, and never done by itself.

import { h, icon } from "../shared/dom.js";
import { day } from "../shared/time.js";
import { badge, named, number, plain, plural, upright } from "../shared/words.js";
import { linkTo, section } from "./parts.js";
import { signs } from "./table.js";
import { country, dayOf, money } from "./words.js";

const KINDS = {
  template_category: "Category of a template",
  join_messages: "Messages that could be one",
  unreachable_people: "People who can't be reached",
  repeated_template: "The same template twice",
  international_authentication: "One-time passwords abroad",
  payment_method: "Payment method",
};

/** The advice that saves most, in brief, and the templates that something is wrong with. */
export function bestAdvice(place, { advice, troubled }) {
  return section({
    key: "best-advice",
    title: "What to do",
    of: [advice],
    content: () => {
      const found = advice.data.advice.filter(({ dismissed }) => !dismissed);
      const wrong = troubled.data ? troubles(place, troubled.data) : null;
      if (!found.length) return [wrong, h("p", { class: "empty muted" }, nothing(advice.data))];
      return [wrong, brief(found[0]), advice.data.unfinished.length ? h("p", { class: "fine" }, ofWhen(advice.data)) : null,
        linkTo({ ...place, view: "advice", template: null, experiment: null }, { class: "button text flush" }, found.length > 1 ? `Evidence, and ${plural(found.length - 1, "more piece")} of advice` : "Evidence")];
    },
  });
}

function troubles(place, { templates: found, next }) {
  if (!found.length) return null;
  return h("ul", { class: "troubled", "data-key": "troubled", "aria-label": "Templates that something is wrong with" },
    found.map((row) => h("li", { "data-key": `${row.waba_id} ${row.template_id}` }, linkTo({ ...place, template: row.template_id }, { class: "name" }, named(upright(row.name) || row.template_id)), signs(row))),
    next ? h("li", { class: "muted", "data-key": "more" }, "and others") : null);
}

/** All of it. */
export function adviceSection(place, { advice, accounts }, { isAdmin }) {
  return section({
    key: "advice",
    title: "Advice",
    of: [advice],
    beside: linkTo({ ...place, dismissed: !place.dismissed }, { class: "button text" }, place.dismissed ? "Hide what was dismissed" : "Show what was dismissed"),
    content: () => [
      h("p", { class: "fine" }, ofWhen(advice.data)),
      advice.data.advice.length ? h("ul", { class: "rows" }, advice.data.advice.map((one) => item(one, accounts, isAdmin))) : h("p", { class: "empty muted" }, nothing(advice.data)),
    ],
  });
}

function nothing({ as_of, unfinished }) {
  if (as_of === null) return "Nothing has been worked out yet.";
  return unfinished.length ? "Nothing is found so far, and not everything is counted yet." : "Nothing to advise: in what was counted there is nothing that wastes money.";
}

/** Of when it is, and what of it may be of an earlier time. Pure. */
export function ofWhen({ counted_to, unfinished }) {
  const late = unfinished.map((kind) => `“${KINDS[kind] ?? plain(kind)}”`).join(", ");
  return [
    counted_to ? `Messages are counted until ${dayOf(counted_to)} (UTC).` : "Messages are not counted yet.",
    late ? `Not everything could be counted in time: what is said of ${late} may be of an earlier time, or missing.` : "",
    "Nothing of it is done by itself.",
  ].filter(Boolean).join(" ");
}

const saving = ({ saving: amount, currency }) => (amount === null ? null : badge({ kind: "good", glyph: "check", text: `Saves about ${money(amount, currency)} a month` }));

function brief(one) {
  return h("div", { class: "advice" }, saving(one), h("p", { class: "strong finding" }, named(one.finding)), h("p", {}, named(one.remedy)));
}

function item(one, accounts, isAdmin) {
  const { advice_id, kind, waba_id, since, dismissed, evidence } = one;
  return h("li", { "data-key": advice_id, class: dismissed ? "dismissed" : null },
    h("div", { class: "meta" }, h("span", { class: "label" }, KINDS[kind] ?? plain(kind)), dismissed ? badge({ kind: "plain", glyph: "info", text: "Dismissed" }) : null),
    brief(one),
    h("p", { class: "fine" }, accounts.size > 1 ? [named(accounts.get(waba_id) ?? waba_id), " · "] : null, "given since ", day(since)),
    h("details", { "data-key": `evidence ${advice_id}` }, h("summary", {}, "Evidence"),
      h("dl", { class: "facts" }, factsOf(evidence).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
    isAdmin ? h("button", { class: "button text flush", type: "button", "data-action": "dismiss", "data-id": advice_id, "data-dismissed": String(!dismissed), "data-key": `dismiss ${advice_id}` },
      icon(dismissed ? "reply" : "cross"), dismissed ? "Give it again" : "Dismiss") : null);
}

/** Evidence as names and values that people can read; what is not known is said to be so. Pure. */
export function factsOf(evidence, before = "") {
  return Object.entries(evidence).flatMap(([name, value]) => {
    const words = before ? `${before}: ${plain(name).toLowerCase()}` : plain(name);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return factsOf(value, words);
    return [[words, valueOf(name, value)]];
  });
}

function valueOf(name, value) {
  if (value === null || value === undefined) return "not known";
  if (Array.isArray(value)) return value.map((each) => valueOf(name, each)).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" && !name.endsWith("error")) return number(value);
  if (name === "country" && /^[A-Z]{2}$/.test(value)) return country(value);
  return String(value);
}
