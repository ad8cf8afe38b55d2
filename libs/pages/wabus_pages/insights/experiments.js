// Experiments on templates: what is tried, what is shown so far in words that can't be misread, and how sure that is.

import { h, icon } from "../shared/dom.js";
import { dated, day } from "../shared/time.js";
import { badge, isolated, named, number, plain, plural } from "../shared/words.js";
import { figure, level, scrolled } from "./chart.js";
import { choices, fact, field, linkTo, section } from "./parts.js";
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

/** All of them, and above them the form in which administrators plan one. */
export function experimentsSections(place, { experiments, sendable, accounts }, { isAdmin }) {
  const plans = isAdmin && place.plan;
  return [
    plans ? section({ key: "new", title: "Plan an experiment", of: [sendable], content: () => form(sendable.data.templates, accounts) }) : null,
    listed(place, experiments, isAdmin && !plans),
  ];
}

function listed(place, experiments, mayPlan) {
  return section({
    key: "experiments",
    title: "Experiments",
    of: [experiments],
    beside: mayPlan ? linkTo({ ...place, plan: true }, { class: "button quiet" }, "Plan one") : null,
    content: () => experiments.data.experiments.length
      ? h("ul", { class: "rows" }, experiments.data.experiments.map((one) => item(place, one)), experiments.data.next ? h("li", { class: "muted" }, "There are older ones: the API lists them.") : null)
      : h("p", { class: "empty muted" }, "Nothing was tried yet. An experiment sends one of two texts, or none, to people drawn by lot, and says which is better as soon as that is sure."),
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
export function experimentSections(place, { experiment, looks, accounts }, { isAdmin }) {
  const one = experiment.data;
  return [
    h("p", { "data-key": "back" }, linkTo({ ...place, experiment: null, view: "experiments" }, { class: "button text flush" }, icon("back"), "All experiments")),
    section({ key: "experiment", title: one ? named(one.name) : "Experiment", of: [experiment], beside: one ? badge(STATES[one.state] ?? STATES.planned) : null, content: () => [finding(one, accounts), isAdmin ? steps(one) : null] }),
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

/** What administrators may do with it now. */
function steps({ state, experiment_id }) {
  if (state === "planned") return h("div", { class: "actions start" }, h("button", { class: "button", type: "button", "data-action": "start-experiment", "data-id": experiment_id }, "Start"));
  if (state === "running") return h("div", { class: "actions start" }, h("button", { class: "button quiet", type: "button", "data-action": "stop-experiment", "data-id": experiment_id }, "Stop"));
  return null;
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

const NOTHING = "nothing"; // in the place of a template
const USUAL = { name: "", control: "", tried: "", share: "50", metric: "replied", outcome_hours: "72", days: "30", audience: "", baseline: "10", effect: "3" };
const PLAIN_BUTTONS = ["QUICK_REPLY", "PHONE_NUMBER", "URL", "VOICE_CALL"];
let draft = null; // what stands in the form
let wrong = [];
let refused = "";
let needed = null; // how many people an effect needs, in words
let key = null; // by which the plan is taken once, however often it is sent

/** Begin with an empty form. */
export function leave() {
  [draft, wrong, refused, needed, key] = [null, [], "", null, null];
}

function form(templates, accounts) {
  draft ??= { ...USUAL };
  const found = templates.filter((one) => componentsOf(one) !== null);
  const name = ({ template_id, name: of, language, waba_id }) => [template_id, `${isolated(of ?? template_id)} (${language})${accounts.size > 1 ? ` · ${isolated(accounts.get(waba_id) ?? waba_id)}` : ""}`];
  const options = [["", "Choose"], [NOTHING, "Nothing: they are not written to"], ...found.map(name)];
  const needs = valuesOf([draft.control, draft.tried].map((id) => found.find(({ template_id }) => template_id === id)));
  return h("form", { class: "trial-form", "data-form": "experiment", novalidate: true },
    h("p", { class: "muted" }, "People are drawn by lot: A is what you would send anyway, B is what you try. The plan can't be changed once it is made; another plan is another experiment."),
    h("fieldset", {}, h("legend", { class: "strong" }, "What is compared"),
      field("Name", control("name", { maxlength: 200, autocomplete: "off" })),
      field("A, the control", h("select", { name: "control", "data-draft": "experiment", ...marks("control") }, choices(options, draft.control))),
      field("B, what you try", h("select", { name: "tried", "data-draft": "experiment", ...marks("tried") }, choices(options, draft.tried))),
      field("Share of people who get B (%)", control("share", { inputmode: "decimal", autocomplete: "off" })),
      field("What decides", h("select", { name: "metric", ...marks("metric") }, choices(Object.entries(METRICS), draft.metric))),
      field("Within how many hours", control("outcome_hours", { inputmode: "numeric", autocomplete: "off" })),
      field("People are drawn for so many days", control("days", { inputmode: "numeric", autocomplete: "off" })),
      field("For whom it is, in your words", control("audience", { maxlength: 1000, autocomplete: "off" }))),
    needs.length ? h("p", { class: "muted" }, "Each message that is sent through it has to bring the values ", needs.map((one, at) => [at ? ", " : "", h("code", {}, one)]), ".") : null,
    templates.length > found.length ? h("p", { class: "fine" }, `${plural(templates.length - found.length, "template")} with pictures, cards or codes ${templates.length - found.length === 1 ? "is" : "are"} not here: these are planned through the API.`) : null,
    h("fieldset", {}, h("legend", { class: "strong" }, "How many people it needs"),
      field("Share who do it now (%)", control("baseline", { inputmode: "decimal", autocomplete: "off" })),
      field("Points more that would matter", control("effect", { inputmode: "decimal", autocomplete: "off" })),
      h("button", { class: "button quiet", type: "button", "data-action": "size-experiment" }, "Work it out")),
    needed ? h("p", { role: "status" }, needed) : null,
    wrong.length ? h("p", { class: "error", role: "alert" }, wrong.map(({ text }) => text).join(" ")) : null,
    refused ? h("p", { class: "error", role: "alert" }, refused) : null,
    h("div", { class: "actions start" }, h("button", { class: "button" }, "Plan it"), h("button", { class: "button text", type: "button", "data-action": "leave-plan" }, "Cancel")));
}

const marks = (name) => ({ "aria-invalid": wrong.some(({ field: of }) => of === name) ? "true" : null });
const control = (name, attributes) => h("input", { name, value: draft[name], ...marks(name), ...attributes });

/** Keep what stands in the form. */
export function keep() {
  draft = Object.fromEntries([...document.querySelectorAll("[data-form=experiment] [name]")].map(({ name, value }) => [name, value.trim()]));
}

export const refuse = (why) => void (refused = why);
export const isNeeded = (words) => void (needed = words);

/** What is asked of `POST /experiments/plan`, or null where something of it can't be, which then is said. */
export function readSize() {
  keep();
  const found = sizeOf(draft);
  [wrong, refused, needed] = [found.wrong, "", null];
  return found.wrong.length ? null : found.size;
}

/** The plan that stands in the form, with a key by which it is taken once; null where something of it can't be. */
export function readPlan(templates) {
  keep();
  const found = planOf(draft, templates);
  [wrong, refused] = [found.wrong, ""];
  const text = JSON.stringify(found.plan);
  if (key?.text !== text) key = { text, key: crypto.randomUUID() };
  return found.wrong.length ? null : { plan: found.plan, key: key.key };
}

const share = (text) => (/^-?\d{1,3}([.,]\d{1,4})?$/.test(text) ? Number(text.replace(",", ".")) / 100 : NaN);
const whole = (text) => (/^\d{1,4}$/.test(text) ? Number(text) : NaN);
const within = (value, least, most) => value >= least && value <= most;

/** How many people are asked for, and what of that can't be. Pure. */
export function sizeOf({ baseline, effect }) {
  const size = { baseline: share(baseline), effect: share(effect) };
  const of = size.baseline + size.effect;
  return { size, wrong: [
    size.baseline > 0 && size.baseline < 1 ? null : { field: "baseline", text: "Write the share who do it now as 10, for 10 %: above 0, and below 100." },
    size.effect && of > 0 && of < 1 ? null : { field: "effect", text: "Write the points that would matter as 3, so that both shares are between 0 and 100 %." },
  ].filter(Boolean) };
}

/** A plan as the API takes it out of what stands in the form, and what of it can't be. Pure. */
export function planOf({ name, control: a, tried: b, share: of, metric, outcome_hours, days, audience }, templates) {
  const [one, other] = [a, b].map((id) => templates.find(({ template_id }) => template_id === id));
  const part = Math.round(share(of) * 10_000) / 10_000;
  const arm = (which, template, weight) => ({ arm: which, weight: Math.round(weight * 10_000) / 10_000, template: template ? { name: template.name, language: template.language, components: componentsOf(template) } : null });
  const both = one && other;
  const plan = {
    name, waba_id: (one ?? other)?.waba_id ?? null, audience, control: "A", metric, outcome_hours: whole(outcome_hours), days: whole(days),
    minimum_days: Math.min(7, whole(days) || 0), arms: [arm("A", one, 1 - part), arm("B", other, part)],
  };
  return { plan, wrong: [
    name ? null : { field: "name", text: "Give it a name." },
    (one || a === NOTHING) && (other || b === NOTHING) ? null : { field: one || a === NOTHING ? "tried" : "control", text: "Choose what the people of A and of B get." },
    a === b && a ? { field: "tried", text: "A and B are the same." } : null,
    both && one.waba_id !== other.waba_id ? { field: "tried", text: "Both templates are of one account." } : null,
    both && one.category !== other.category ? { field: "tried", text: `Both templates are of one category: A is ${plain(one.category).toLowerCase()}, B is ${plain(other.category).toLowerCase()}. WhatsApp charges and limits them otherwise.` } : null,
    within(part, 0.01, 0.99) ? null : { field: "share", text: "Write the share of people who get B as 50, for 50 %: from 1 to 99." },
    metric !== "replied" && (a === NOTHING || b === NOTHING) ? { field: "metric", text: "Who is sent nothing can read and tap nothing: let it be decided by who replied." } : null,
    within(whole(outcome_hours), 1, 168) ? null : { field: "outcome_hours", text: "Write from 1 to 168 hours." },
    within(whole(days), 1, 90) ? null : { field: "days", text: "Write from 1 to 90 days." },
  ].filter(Boolean) };
}

/** The values that messages of these templates need, by the names that `componentsOf` gives them. Pure. */
export function valuesOf(templates) {
  const text = JSON.stringify(templates.filter(Boolean).map(componentsOf));
  return [...new Set([...text.matchAll(/\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}/g)].map(([, name]) => name))].sort();
}

/** Meta's components of a message of a template, with the names of values; null where it needs more than texts. Pure. */
export function componentsOf({ header, body, buttons, carousel, limited_time_offer: offer }) {
  if (carousel?.length || offer || (header && header.format !== "TEXT") || (buttons ?? []).some(({ type }) => !PLAIN_BUTTONS.includes(type))) return null;
  const filled = (part, of) => (part?.variables ?? []).map((name) => (/^\d+$/.test(name)
    ? { type: "text", text: `{{${of}_${name}}}` }
    : { type: "text", parameter_name: name, text: `{{${name}}}` }));
  return [
    header?.variables?.length ? { type: "header", parameters: filled(header, "header") } : null,
    body?.variables?.length ? { type: "body", parameters: filled(body, "body") } : null,
    ...(buttons ?? []).map((button, index) => (button.variables?.length ? { type: "button", sub_type: "url", index: String(index), parameters: [{ type: "text", text: `{{button_${index + 1}}}` }] } : null)),
  ].filter(Boolean);
}
