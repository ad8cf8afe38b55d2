// One template: how far its messages come, its curve by day, its versions side by side, and why messages failed.

import { h, icon } from "../shared/dom.js";
import { badge, language, named, number, plain, plural, templateStatus, upright } from "../shared/words.js";
import { figure, funnel, scrolled } from "./chart.js";
import { costOf, eachOf } from "./costs.js";
import { reasons } from "./failures.js";
import { choices, fact, field, linkTo, section } from "./parts.js";
import { BREAKDOWNS, daysOf, needsOf } from "./place.js";
import { country, dayOf, duration, longDay, percent, share, zoneName } from "./words.js";

const STEPS = { accepted: "Accepted by Meta", sent: "Sent", delivered: "Delivered", read: "Read", replied: "Replied", clicked: "Tapped a button" };
const SHOWN = [["delivered", "accepted", "Delivered"], ["read", "delivered", "Read"], ["replied", "delivered", "Replied"], ["clicked", "delivered", "Tapped"], ["stopped", "delivered", "Stopped"], ["failed", "accepted", "Failed"]];

/** What is shown of it. */
export function templateSections(place, answers, today) {
  const { byDay, byVersion, breakdown, failures, costs, numbers, isAdmin } = answers;
  const one = byDay.data;
  const needs = needsOf(place, today);
  const name = one ? upright(one.template.name) || one.template.template_id : "Template";
  return [
    h("p", { "data-key": "back" }, linkTo({ ...place, template: null }, { class: "button text flush" }, icon("back"), "All templates")),
    section({ key: "template", title: named(name), of: [byDay], content: () => overview(one, costs) }),
    one ? section({ key: "days", title: "By day", of: [byDay], path: needs["template day"], name: "template by day", content: () => curve(one) }) : null,
    one ? section({ key: "versions", title: "Versions side by side", of: [byVersion], path: needs["template version"], name: "template by version", content: () => versions(byVersion.data) }) : null,
    one ? section({ key: "failures", title: "Why messages failed", of: [failures], path: needs.failures, name: "failures", content: () => reasons(failures.data) }) : null,
    one ? section({
      key: "breakdown", title: `By ${BREAKDOWNS.find(([by]) => by === place.by)[1].toLowerCase()}`, of: [breakdown], path: needs.breakdown, name: `template by ${place.by}`,
      beside: field("By", h("select", { "data-set": "by" }, choices(BREAKDOWNS, place.by)), { class: "field beside" }),
      content: () => groups(breakdown.data, (group) => nameOfGroup(place.by, group, numbers)),
    }) : null,
    one?.meta ? section({ key: "meta", title: "As Meta counts", of: [byDay], content: () => metas(one.meta, one.template, isAdmin) }) : null,
  ];
}

function overview({ template, period, total, funnel: steps, time_to_read: times }, costs) {
  const cost = costOf(costs.data?.costs);
  return [
    h("div", { class: "meta" }, template.status ? badge(templateStatus(template.status)) : null,
      h("span", { class: "muted" }, [template.language ? language(template.language) : null, template.category ? plain(template.category) : null].filter(Boolean).join(" · ")),
      template.removed_at ? badge({ kind: "bad", glyph: "cross", text: "Deleted" }) : null),
    h("p", { class: "fine" }, `Messages that Meta accepted from ${longDay(period.from)} to ${longDay(period.to)}, by the days of ${zoneName(period.time_zone ?? "UTC")}.`),
    total.accepted ? funnel(steps.map(({ step, count, share: of }) => ({ name: STEPS[step] ?? plain(step), count: number(count), share: of, words: step === "accepted" ? "" : `${percent(of)} of the accepted` }))) : h("p", { class: "empty muted" }, "Nothing was sent with it in these days."),
    h("dl", { class: "fact-grid" },
      fact("Read after", times?.median_seconds === null || !times ? "–" : duration(times.median_seconds), times?.ninety_percent_seconds ? ` in the middle; nine of ten within ${duration(times.ninety_percent_seconds)}` : null),
      fact("Wanted no more marketing", share(total.stopped, total.delivered), ` ${number(total.stopped)} of ${number(total.delivered)} delivered, within seven days`),
      fact("Failed", share(total.failed, total.accepted), ` ${number(total.failed)} of ${number(total.accepted)}`),
      cost ? fact("Cost", cost.text, cost.how ? ` ${cost.how}` : null) : null,
      eachOf(cost?.one, cost?.one?.volume) ? fact("Each message that arrived", eachOf(cost.one, cost.one.volume),  [" on average", total.replied ? `; ${eachOf(cost.one, total.replied)} for each reply` : "", total.clicked ? `; ${eachOf(cost.one, total.clicked)} for each tap` : ""].join("")) : null),
    h("p", { class: "fine" }, "Counted by us from what Meta tells of each message. Reads are a lower bound: people may send no read receipts. A reply counts within 24 hours."),
  ];
}

function curve({ period, groups: found, total }) {
  const days = daysOf(period);
  const by = new Map(found.map((group) => [group.group.slice(0, 10), group]));
  const series = [["accepted", "Accepted"], ["delivered", "Delivered"], ["read", "Read"]].map(([key, name]) => ({ name, values: days.map((day) => by.get(day)?.[key] ?? 0) }));
  return figure({ key: "days", title: "Messages by the day on which Meta accepted them", labels: days.map(dayOf), series, said: whole,
    summary: `From ${longDay(period.from)} to ${longDay(period.to)}: ${plural(total.accepted, "message")} accepted, ${number(total.delivered)} delivered, ${number(total.read)} read.` });
}

/** A value of an axis that counts: whole, or nothing where it would not be. */
const whole = (value) => (Number.isInteger(value) ? number(value) : "");

function versions({ groups: found, comparisons }) {
  const named = (group) => (group === "0" ? "Not known" : `Version ${group}`);
  if (!found.length) return h("p", { class: "empty muted" }, "Nothing was sent with it in these days.");
  return [
    comparisons.length ? h("ul", { class: "said" }, comparisons.map(({ version, before, rate, sentence, verdict }) => h("li", { "data-key": `${version} ${before} ${rate}` },
      h("p", { class: `verdict ${toneOf(verdict, rate)}` }, icon({ good: "check", wait: "alert" }[toneOf(verdict, rate)] ?? "info"), h("span", {}, sentence))))) : null,
    comparisons.length ? h("p", { class: "note plain" }, icon("info"), h("span", {}, h("strong", {}, "An observation, not an experiment: "), "nobody was drawn by lot, and the versions were sent at different times, to different people. What differs may have another reason. Intervals hold in 95 of 100 such comparisons.")) : h("p", { class: "muted" }, found.length > 1 ? "Too little is known to compare its versions." : "It had one version in these days: there is nothing to compare."),
    table("Versions", found, named),
  ];
}

/** Whether a version does better (`good`), worse (`wait`) or neither by one of its rates. Pure. */
export function toneOf(verdict, rate) {
  if (verdict !== "more" && verdict !== "less") return "plain";
  return (verdict === "more") === ["failure_rate", "stop_rate"].includes(rate) ? "wait" : "good";
}

const groups = ({ groups: found }, nameOf) => (found.length ? table("Groups", found, nameOf) : h("p", { class: "empty muted" }, "Nothing was sent with it in these days."));

function table(label, found, nameOf) {
  return scrolled(label, h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col", class: "figure-cell" }, "Accepted"), SHOWN.map(([, , title]) => h("th", { scope: "col", class: "figure-cell" }, title)))),
    h("tbody", {}, found.map((group) => h("tr", { "data-key": group.group }, h("th", { scope: "row" }, nameOf(group.group)), h("td", { class: "figure-cell" }, number(group.accepted)),
      SHOWN.map(([key, of]) => h("td", { class: "figure-cell" }, h("span", {}, share(group[key], group[of])), h("span", { class: "muted fine" }, `${number(group[key])} of ${number(group[of])}`))))))));
}

function nameOfGroup(by, group, numbers) {
  if (by === "country") return country(group);
  if (by === "number") return named(numbers.get(group) ?? group);
  return `${group.slice(0, 16).replace("T", " ")} UTC`;
}

function metas({ state, sentence, days }, { waba_id }, isAdmin) {
  return [
    h("p", { class: "muted" }, sentence),
    state === "off" && isAdmin ? h("button", { class: "button quiet flush-start", type: "button", "data-action": "let-meta-count", "data-waba": waba_id }, "Let Meta count…") : null,
    days.length ? metaDays(days) : null,
  ];
}

function metaDays(days) {
  const columns = [["sent", "Sent"], ["delivered", "Delivered"], ["read", "Read"], ["clicked", "Tapped"]];
  return [
    h("p", { class: "fine" }, "Meta's own analytics, by the days of the account; it forgets reads and taps after a week, what was read before is kept here. It counts by rules of its own: taps on links too, and nothing from before it began."),
    h("details", { class: "behind", "data-key": "meta days" }, h("summary", {}, `${plural(days.length, "day")} as a table`), scrolled("As Meta counts", h("table", {},
      h("thead", {}, h("tr", {}, h("td", {}), columns.map(([, title]) => h("th", { scope: "col", class: "figure-cell" }, title)))),
      h("tbody", {}, days.map((day) => h("tr", { "data-key": day.day }, h("th", { scope: "row" }, dayOf(day.day)), columns.map(([key]) => h("td", { class: "figure-cell" }, day[key] === null ? "–" : number(day[key]))))))))),
  ];
}
