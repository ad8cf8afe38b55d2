// Experiments on templates: what is tried, what is shown so far in words that can't be misread, and how sure that is.

import { h, icon } from "../shared/dom.js";
import { dated, day } from "../shared/time.js";
import { badge, named, number, plain, plural } from "../shared/words.js";
import { figure, level, scrolled } from "./chart.js";
import { fact, linkTo, section } from "./parts.js";
import { percent, points, price } from "./words.js";

const STATES = {
  planned: { kind: "plain", glyph: "clock", text: "Not started" },
  running: { kind: "good", glyph: "sync", text: "Running" },
  counting: { kind: "wait", glyph: "clock", text: "The last people are being counted" },
  stopped: { kind: "wait", glyph: "pause", text: "Stopped" },
  decided: { kind: "plain", glyph: "check", text: "Decided" },
};
const METRICS = { replied: "Who replied", clicked: "Who tapped a button", read: "Who read it (a lower bound)" };
const REASONS = {
  by_hand: "somebody has stopped it",
  template_edited: "its template was edited, and so is another one",
  template_paused: "WhatsApp has paused or disabled its template",
  template_deleted: "its template was deleted",
  template_category: "WhatsApp has put its template into another category",
  template_quality: "WhatsApp rates its template low",
  number_quality: "WhatsApp rates the phone number low",
  failed: "more of its messages fail than of the control",
  stopped: "more of its people want no more marketing than of the control",
  cost: "a delivered message of it costs more than one of the control",
};
const HARMS = { failed: "more failures", stopped: "more people who want no marketing", cost: "dearer messages" };

/** All of them. */
export function experimentsSection(place, { experiments }) {
  return section({
    key: "experiments",
    title: "Experiments",
    of: [experiments],
    content: () => experiments.data.experiments.length
      ? h("ul", { class: "rows" }, experiments.data.experiments.map((one) => item(place, one)), experiments.data.next ? h("li", { class: "muted" }, "There are older ones: the API lists them.") : null)
      : h("p", { class: "empty muted" }, "Nothing was tried yet. An experiment sends one of two texts, or none, to people drawn by lot, and says which is better as soon as that is sure: ", h("code", {}, "POST /experiments"), "."),
  });
}

function item(place, one) {
  return h("li", { "data-key": one.experiment_id },
    h("div", { class: "row-line" },
      linkTo({ ...place, experiment: one.experiment_id }, { class: "grow name strong" }, named(one.name)), badge(STATES[one.state] ?? { kind: "plain", glyph: "info", text: plain(one.state) })),
    h("p", {}, inBrief(one)),
    h("p", { class: "fine" }, one.started_at ? ["Started ", day(one.started_at)] : ["Planned ", day(one.defined_at)]));
}

/** What an experiment of the list has come to, in a sentence. Pure. */
export function inBrief({ state, outcome, winner }) {
  if (outcome === "winner") return `${winner} is the winner.`;
  if (outcome === "no_difference") return "It has ended, and no difference was shown. That does not say that there is none.";
  if (outcome === "guardrail") return "Undecided: it was stopped before it showed anything.";
  if (outcome === "sample_ratio") return "The result is withheld: people did not come into the arms as planned.";
  if (outcome === "stopped") return winner ? `Somebody has chosen ${winner}; that it is better is not shown.` : "Undecided: somebody has stopped it.";
  if (state === "planned") return "Nobody is drawn yet.";
  return "Not decided yet.";
}

/** One of them. */
export function experimentSections(place, { experiment, looks, accounts }) {
  const one = experiment.data;
  return [
    h("p", { "data-key": "back" }, linkTo({ ...place, experiment: null, view: "experiments" }, { class: "button text flush" }, icon("back"), "All experiments")),
    section({ key: "experiment", title: one ? named(one.name) : "Experiment", of: [experiment], beside: one ? badge(STATES[one.state] ?? STATES.planned) : null, content: () => finding(one, accounts) }),
    one ? section({ key: "looks", title: "How sure we are", of: [looks], content: () => sureness(one, looks.data) }) : null,
    one ? section({ key: "arms", title: "What is compared", of: [experiment], content: () => arms(place, one) }) : null,
    one ? section({ key: "plan", title: "The plan", of: [experiment], content: () => plan(one) }) : null,
  ];
}

function finding(one, accounts) {
  return [
    h("ul", { class: "said" }, one.said.map((sentence, at) => h("li", { class: at ? null : "large-text", "data-key": `said ${at}` }, sentence))),
    one.stop_reason ? h("p", { class: "verdict wait" }, icon("alert"), h("span", {}, `Stopped: ${REASONS[one.stop_reason] ?? plain(one.stop_reason).toLowerCase()}.`)) : null,
    h("p", { class: "fine" }, accounts.size > 1 ? [named(accounts.get(one.waba_id) ?? one.waba_id), " · "] : null, one.started_at ? `Started ${dated(one.started_at)}` : "Not started",
      one.ends_at ? `, people are drawn until ${dated(one.ends_at)}` : "", one.decided_at ? `, decided ${dated(one.decided_at)}` : "", `. As of ${dated(one.as_of)}.`),
    one.audience ? h("p", { dir: "auto" }, h("span", { class: "muted" }, "For: "), named(one.audience)) : null,
  ];
}

function sureness(one, { looks, threshold }) {
  if (one.withheld) return h("p", { class: "muted" }, "The result is withheld, so there is nothing to be sure of.");
  const known = one.arms.filter(({ sureness: far }) => far !== null);
  const found = curvesOf(looks);
  return [
    known.map(({ arm, sureness: far }) => h("div", { class: "sureness", "data-key": arm },
      h("p", {}, far >= 1 ? `${arm}: the evidence has reached what the plan asks for.` : `${arm}: the evidence has come ${percent(far)} of the way to where a difference is shown.`), level(far, far >= 1 ? "good" : "wait"))),
    found.labels.length
      ? figure({ key: "evidence", title: "Evidence of a difference, as odds against chance", labels: found.labels.map(dated), series: found.series, begin: found.begin, said: odds, threshold: { value: threshold, name: `Shown from ${odds(threshold)} on` },
        summary: `The evidence by ${plural(found.labels.length, "look")}: at the last ${found.series.map(({ name, values }) => `${odds(values.at(-1) ?? 0)} for ${name}`).join(", ")}; a difference is shown from ${odds(threshold)} on.` })
      : h("p", { class: "empty muted" }, "Nobody has looked yet: the first people are counted when their time to answer is over."),
    h("p", { class: "fine" }, "It may be looked at as often as you like: however often, a difference that is not there is shown in at most ", percent(one.plan.alpha), " of experiments."),
  ];
}

/** Looks, the newest first, as curves over time: one for each arm. Pure. */
export function curvesOf(looks) {
  const labels = [...new Set(looks.map(({ at }) => at))].sort();
  const names = [...new Set(looks.map(({ arm }) => arm))].sort();
  const by = new Map(looks.map(({ at, arm, evidence }) => [`${at} ${arm}`, evidence]));
  const series = names.map((name) => ({ name, values: labels.map((at) => by.get(`${at} ${name}`) ?? null) }));
  return { labels, series, begin: Math.min(0, Math.floor(Math.min(0, ...looks.map(({ evidence }) => evidence)))) };
}

/** Evidence, which is kept as a natural logarithm, as odds: `20 to 1`. Pure. */
export function odds(evidence) {
  const found = Math.exp(evidence);
  if (found < 1) return found > 0.1 ? `${found.toFixed(1).replace("1.0", "0.9")} to 1` : "below 0.1 to 1";
  if (found >= 1e6) return `10^${Math.floor(evidence / Math.LN10)} to 1`;
  return `${number(found < 10 ? Math.floor(found * 10 + 1e-9) / 10 : Math.floor(found + 1e-9))} to 1`;
}

function arms(place, one) {
  return [
    scrolled("What is compared", h("table", {},
      h("thead", {}, h("tr", {}, ["Arm", "Gets", "Share of people", "Counted", METRICS[one.plan.metric] ?? plain(one.plan.metric), "Difference to the control"].map((title, at) => h("th", { scope: "col", class: at > 1 ? "figure-cell" : null }, title)))),
      h("tbody", {}, one.arms.map((arm) => h("tr", { "data-key": arm.arm },
        h("th", { scope: "row" }, arm.arm, arm.arm === one.plan.control ? h("span", { class: "muted fine" }, "control") : null, arm.arm === one.winner ? badge({ kind: "good", glyph: "check", text: "Winner" }) : null),
        h("td", {}, arm.template ? named(arm.template.name) : "Nothing", arm.stopped ? h("span", { class: "wait-text fine" }, `Stopped: ${REASONS[arm.stopped] ?? plain(arm.stopped).toLowerCase()}`) : null),
        h("td", { class: "figure-cell" }, percent(arm.weight)),
        h("td", { class: "figure-cell" }, number(arm.people), h("span", { class: "muted fine" }, `of ${number(arm.drawn)} drawn`)),
        h("td", { class: "figure-cell" }, percent(arm.rate), h("span", { class: "muted fine" }, one.withheld ? "withheld" : `${number(arm.successes)} of ${number(arm.people)}`)),
        h("td", { class: "figure-cell" }, difference(arm, one))))))),
    besides(one),
    h("p", { class: "fine" }, "Everybody who was drawn counts, whether their message was delivered or not: so the arms stay alike in all but what they got."),
  ];
}

/** An arm's difference to the control, in words. Pure. */
export function difference({ arm, difference: found }, { plan: { control }, withheld }) {
  if (arm === control) return "–";
  if (withheld) return "withheld";
  return found === null ? "not known yet" : `${points(found[0])} to ${points(found[1])} points`;
}

function besides(one) {
  const parts = one.arms.flatMap(({ arm, excluded, failed, held, capped, in_metas_test, stops, price: each, currency, unpriced }) => [
    held ? `${arm}: WhatsApp has held back ${plural(held, "message")} to see first how others like the template; these come later, or not at all.` : null,
    failed ? `${arm}: ${plural(failed, "message")} failed` + (capped ? `, ${number(capped)} of them for Meta's limit of marketing to a person` : "") + (in_metas_test ? `, ${number(in_metas_test)} because the person is in a test of Meta's own` : "") + "." : null,
    stops ? `${arm}: ${stops === 1 ? "1 person wants" : `${number(stops)} people want`} no more marketing.` : null,
    each ? `${arm}: a delivered message costs ${price(each, currency)} on average${unpriced ? `, without ${number(unpriced)} whose price is not known` : ""}.` : null,
    excluded ? `${arm}: ${excluded === 1 ? "1 person is" : `${number(excluded)} people are`} not counted, for they turned out to be in another arm too.` : null,
  ].filter(Boolean));
  return parts.length ? h("ul", {}, parts.map((sentence) => h("li", { "data-key": sentence }, sentence))) : null;
}

function plan({ plan: of, plan_hash }) {
  return [
    h("dl", { class: "fact-grid" },
      fact("Decides", METRICS[of.metric] ?? plain(of.metric), ` within ${number(of.outcome_hours)} h of being drawn; what comes later does not count`),
      fact("Shown where there is nothing", `at most ${percent(of.alpha)}`),
      fact("Not decided before", plural(of.minimum_days, "day"), ` and ${number(of.minimum_per_arm)} people counted in each arm`),
      fact("People are drawn for", plural(of.days, "day")),
      fact("Stops an arm", of.guardrails.length ? of.guardrails.map(({ harm }) => HARMS[harm] ?? plain(harm)).join("; ") : "nothing"),
      fact("Once there is a winner", of.auto_ramp ? "everybody gets it" : "a person decides")),
    h("p", { class: "fine" }, "It was settled before anybody was drawn and has not changed since: ", h("code", { class: "id" }, plan_hash.slice(0, 16)), "…"),
  ];
}
