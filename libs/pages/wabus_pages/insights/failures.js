// Why messages failed, and what to do: of one template, and of all together with those of which most failed.

import { h } from "../shared/dom.js";
import { named, number, plural, upright } from "../shared/words.js";
import { linkTo, section } from "./parts.js";
import { needsOf, periodOf } from "./place.js";
import { longDay, percent } from "./words.js";

const SHOWN = 5;

/** The same of all templates. */
export function failuresSection(place, { failures }, today) {
  return section({
    key: "failures",
    title: "Why messages failed",
    of: [failures],
    path: needsOf(place, today).failures,
    name: "failures",
    content: () => [
      failures.data.failed && failures.data.period.from > periodOf(place, today).from ? h("p", { class: "muted" }, `From ${longDay(failures.data.period.from)} on.`) : null,
      reasons(failures.data, place),
    ],
  });
}

/** Each reason, the most frequent first; those that are not among the first where there is room for a page. */
export function reasons({ failed, failures }, place = null) {
  if (!failed) return h("p", { class: "empty muted" }, "No message failed.");
  const list = (some) => h("ul", { class: "rows" }, some.map((failure) => reason(failure, place)));
  const rest = failures.slice(SHOWN);
  return [
    h("p", { class: "muted" }, `${plural(failed, "message")} failed and never arrived.`),
    list(failures.slice(0, SHOWN)),
    rest.length ? h("details", { class: "behind", "data-key": "more reasons" }, h("summary", {}, `${plural(rest.length, "reason")} more`), list(rest)) : null,
  ];
}

function reason({ code, count, share, sentence, remedy, templates }, place) {
  return h("li", { "data-key": String(code) },
    h("div", { class: "row-line" }, h("span", { class: "grow strong" }, sentence), h("span", {}, `${number(count)} · ${percent(share)}`)),
    h("p", {}, h("span", { class: "muted" }, "What to do: "), remedy),
    place && templates?.length ? h("p", { class: "fine" }, "Most of ", templates.map(({ template_id, name, failed }, at) => [
      at ? ", " : "", linkTo({ ...place, template: template_id }, {}, named(upright(name) || template_id)), ` (${number(failed)})`])) : null,
    code ? h("p", { class: "fine" }, `Meta's code ${code}`) : null);
}
