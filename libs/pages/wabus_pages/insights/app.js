// The insights: signs in, asks for what the address names, draws what is known, and does what buttons ask.

import * as address from "../shared/address.js";
import { announce, fallSilent } from "../shared/announce.js";
import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";
import { askToReplace, confirmed } from "../shared/dialog.js";
import { focusOn, h, keepingFocus, show } from "../shared/dom.js";
import * as session from "../shared/session.js";
import { ago, showExact } from "../shared/time.js";
import { dismiss, dismissAll, toast } from "../shared/toasts.js";
import { isolated, named, upright } from "../shared/words.js";
import { adviceSection, bestAdvice } from "./advice.js";
import * as budgets from "./budgets.js";
import { costSections } from "./costs.js";
import { failuresSection } from "./failures.js";
import { choices, instead, linkTo } from "./parts.js";
import { NAMES, PERIODS, VIEWS, isDay, needsOf, parametersOf, periodOf, placeOf } from "./place.js";
import { reconciledSection } from "./reconciled.js";
import { answer, answers, askAll, csvOf, forgetAll, onChange, onSignedOut, tell } from "./store.js";
import { fewer, rowsShown, saidOrder, showMore, templatesTable } from "./table.js";
import { country } from "./words.js";

const FRESH = 60_000; // ms between questions, while somebody looks
const RETRY = 10_000; // ms until what has failed is asked for again
const CLOCK = 15_000; // ms until relative times are written anew
const SOON = [700, 2_000, 6_000, 15_000]; // ms after a change until it may show
const TYPED = 250; // ms without a key until the address has what was typed
const UNREACHABLE = "We can't be reached right now. Please try again in a moment.";
const ENDED = "Your session has ended. Paste a new access token to go on.";
const COUNTRIES = "AE AF AG AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FR GA GB GD GE GF GH GI GM GN GP GQ GR GT GW GY HK HN HR HT HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KM KN KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MK ML MM MN MO MQ MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NZ OM PA PE PG PH PK PL PR PS PT PY QA RE RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TW TZ UA UG US UY UZ VC VE VN VU WS XK YE ZA ZM ZW".split(" ");

const $ = (id) => document.getElementById(id);
let place = placeOf({});
let isIn = false;
const later = new Map(); // parts that are loaded once somebody wants them; null where that has failed
let toFocus = false; // whether the view's heading gets the focus, for a person has asked for it

async function start() {
  $("late").remove();
  onChange(soon);
  onSignedOut(() => askToSignIn(ENDED));
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("change", onSet);
  $("search").addEventListener("input", onTyped);
  document.addEventListener("visibilitychange", () => document.hidden || !isIn || ask());
  addEventListener("popstate", () => isIn && arrive());
  addEventListener("hashchange", () => location.hash.includes("token=") && location.reload());
  session.onSignedOutElsewhere(() => askToSignIn("You have signed out in another tab. Paste an access token to go on."));
  setInterval(() => document.hidden || soon(), CLOCK);
  setInterval(() => document.hidden || !isIn || ask({ anew: true }), FRESH);
  setInterval(() => document.hidden || !isIn || askAll(unreached(), { anew: true }), RETRY);
  for (;;) {
    try {
      if (!(await session.open(askToReplace))) return askToSignIn();
      return begun();
    } catch {
      live("bad", "Connection lost, retrying");
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

function begun() {
  isIn = true;
  $("sign-in").hidden = true;
  $("token").removeAttribute("aria-invalid");
  arrive();
}

/** Show what the address says. */
function arrive() {
  place = placeOf(address.read(NAMES));
  $("search").value = place.q;
  ask();
  soon();
}

/** The reader's own day: mostly that of the accounts too. */
function today() {
  const now = new Date();
  return [String(now.getFullYear()), String(now.getMonth() + 1).padStart(2, "0"), String(now.getDate()).padStart(2, "0")].join("-");
}
const needs = () => needsOf(place, today(), rowsShown());
const isUnreached = ({ status, message }) => status === "failed" && !message; // what was refused is not asked for again
const unreached = () => Object.fromEntries(Object.entries(needs()).filter(([name]) => isUnreached(answer(name))));
const ask = (how) => askAll(needs(), how);

/** Show another place. With `push` Back leads to the one before. */
function go(changes, { push = false } = {}) {
  place = placeOf({ ...parametersOf(place), ...parametersOf({ ...place, ...changes }) });
  address.write(parametersOf(place), { push });
  ask();
  soon();
}

/** Nothing of an organisation stays on the screen: whoever looks at it now may be somebody else. */
function askToSignIn(why, { isWrong = false } = {}) {
  isIn = false;
  session.forget();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("exact").hidePopover();
  $("exact").textContent = "";
  fallSilent();
  dismissAll();
  forgetAll();
  fewer();
  budgets.stopEditing();
  later.get("experiments")?.leave();
  $("search").value = "";
  $("sign-in").hidden = false;
  if (why) $("sign-in-why").textContent = why;
  $("token").setAttribute("aria-invalid", String(isWrong));
  keepingFocus(draw);
  $("token").focus();
}

async function onSubmit(event) {
  event.preventDefault();
  if (event.target.id === "sign-in") return signIn();
  if (event.target.dataset.form === "budgets") return doing(saveBudgets, budgets.refuse);
  if (event.target.dataset.form === "experiment") return doing(planExperiment, load("experiments").refuse);
  if (event.target.method === "dialog") event.target.closest("dialog").close(event.submitter?.value ?? "");
}

async function signIn() {
  session.keep($("token").value);
  $("token").value = "";
  try {
    await call("/webhook/health/detailed");
  } catch (error) {
    if (error instanceof SignedOut) return askToSignIn("This token is not valid. Check that you copied all of it, and that it has not expired.", { isWrong: true });
  }
  begun();
}

async function signInHere() {
  if (await session.signInHere()) begun();
  else askToSignIn("Nobody is signed in by itself here. Paste an access token.");
}

function signOut() {
  $("sign-in-here").hidden = !session.isLocal();
  session.signOut();
  address.write(Object.fromEntries(NAMES.map((name) => [name, null])));
  askToSignIn("You are signed out. Paste an access token of your organisation to see its insights.");
}

const ACTIONS = {
  go: (_, link) => follow(link),
  sort: ({ sort, order }) => {
    fewer();
    go({ sort, order });
    announce(saidOrder(place), "order");
  },
  more: () => (showMore(), ask()),
  again: () => {
    for (const [name, part] of later) if (part === null) later.delete(name);
    soon();
    return ask({ anew: true });
  },
  csv: ({ path, name }) => saveCsv(path, name),
  "let-meta-count": ({ waba }) => letMetaCount(waba),
  dismiss: ({ id, dismissed }) => dismissAdvice(id, dismissed === "true"),
  "edit-budgets": () => (budgets.edit(answer("budgets").data.budgets, answer("budgets").data.version, currencyHere()), soon()),
  "add-budget": () => (budgets.add(currencyHere()), soon()),
  "remove-budget": ({ at }) => (budgets.remove(Number(at)), soon()),
  "cancel-budgets": () => (budgets.stopEditing(), soon()),
  "size-experiment": () => doing(sizeExperiment, load("experiments").refuse),
  "leave-plan": () => (load("experiments").leave(), go({ plan: false }, { push: true })),
  "start-experiment": ({ id }) => change(id, "start", "Started. Send to people through it: each gets what they are drawn for."),
  "stop-experiment": ({ id }) => change(id, "stop", "Stopped. Nobody is drawn any more; who was drawn is still counted."),
  "clear-filters": () => go({ number: null, country: null, q: "" }),
  time: (_, button) => showExact(button),
  "dismiss-toast": ({ id }) => dismiss(id),
  "sign-in-here": signInHere,
  "sign-out": signOut,
};

async function onClick(event) {
  const button = event.target.closest("[data-action]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  if (button.nodeName === "A") {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // the browser opens it elsewhere
    event.preventDefault();
  }
  const { action, ...data } = button.dataset;
  await doing(() => ACTIONS[action](data, button), (why) => toast("bad", why));
}

/** Do something; `refuse` hears why it could not be done. */
async function doing(act, refuse) {
  try {
    await act();
  } catch (error) {
    if (error instanceof SignedOut) return askToSignIn(ENDED);
    if (error instanceof Refused) refuse(error.message);
    else if (error instanceof Unreachable || error.name === "TimeoutError") refuse(UNREACHABLE);
    else throw error;
    soon();
  }
}

function follow(link) {
  history.pushState(null, "", link.href);
  fewer();
  toFocus = true;
  arrive();
  scrollTo(0, 0);
}

function onSet({ target }) {
  if (target.dataset.draft) {
    load(`${target.dataset.draft}s`).keep();
    return soon();
  }
  const name = target.dataset.set;
  if (!name) return;
  if (name === "days" && target.value === "dates") return go({ days: "dates", ...periodOf(place, today()) });
  if (name === "from" || name === "to") return setDay(name, target.value);
  go({ [name]: target.value || null });
}

/** A day that is typed is none until its year is whole. The other end goes along where it would be on the wrong side. */
function setDay(name, day) {
  if (!isDay(day)) return;
  const period = { from: place.from, to: place.to, [name]: day };
  go(period.from <= period.to ? period : { from: day, to: day });
}

let typing = null;

function onTyped() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    fewer();
    go({ q: $("search").value });
  }, TYPED);
}

async function saveCsv(path, name) {
  const text = await csvOf(path);
  const link = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: link, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(link), 10_000);
}

async function dismissAdvice(id, dismissed) {
  await tell("POST", `/advice/${encodeURIComponent(id)}/dismiss`, { dismissed });
  const known = answer("advice");
  if (known.data) {
    const changed = known.data.advice.map((one) => (one.advice_id === id ? { ...one, dismissed } : one));
    answers.set("advice", { ...known, data: { ...known.data, advice: place.dismissed ? changed : changed.filter((one) => !one.dismissed) } });
  }
  soon();
  toast("good", dismissed ? "Dismissed. It is not given again." : "It is given again.");
}

async function letMetaCount(waba_id) {
  if (!(await confirmed("enable"))) return;
  await tell("POST", "/performance/enable", { waba_id, confirm: true });
  toast("good", "Meta is asked to count. What it tells shows here from the next day on.");
}

async function saveBudgets() {
  const found = budgets.read();
  soon();
  if (!found) return;
  let isIn;
  try {
    isIn = await tell("PUT", "/budgets", { budgets: found }, budgets.onlyIfUnchanged());
  } catch (error) {
    if (error.code !== "changed_meanwhile") throw error;
    await ask({ anew: true });
    budgets.meet(answer("budgets").data, error.message);
    return soon();
  }
  budgets.stopEditing({ isTaken: isIn === null });
  await ask({ anew: true });
  if (isIn === null) for (const delay of SOON) setTimeout(() => isShown() || ask({ anew: true }).then(() => delay === SOON.at(-1) && (budgets.settled(), soon())), delay);
  toast("good", "The budgets are set.");
}

async function sizeExperiment() {
  const part = load("experiments");
  const size = part.readSize();
  soon();
  if (!size) return;
  part.isNeeded((await tell("POST", "/experiments/plan", size)).said);
  soon();
}

async function planExperiment() {
  const part = load("experiments");
  const found = part.readPlan(answer("sendable").data.templates);
  soon();
  if (!found) return;
  const made = await tell("POST", "/experiments", found.plan, { "Idempotency-Key": found.key });
  part.leave();
  toFocus = true;
  go({ plan: false, experiment: made?.experiment_id ?? null }, { push: true });
  if (!made) await ask({ anew: true });
  toast("good", made ? "It is planned. Start it when you are ready to send." : "It is planned, and shows here in a moment.");
}

/** Start or stop an experiment, once that is confirmed. */
async function change(id, what, done) {
  if (!(await confirmed(`${what}-experiment`))) return;
  const now = await tell("POST", `/experiments/${encodeURIComponent(id)}/${what}`, {});
  const known = answer("experiment");
  if (now && known.data?.experiment_id === id) answers.set("experiment", { ...known, data: now, at: Date.now() });
  if (!now) for (const delay of SOON) setTimeout(() => isShown() || ask({ anew: true }), delay);
  soon();
  toast("good", done);
}

const isShown = () => document.hidden || !$("sign-in").hidden;

/** A currency to begin a budget with: the one that was charged in. */
const currencyHere = () => answer("forecast").data?.forecasts[0]?.currency ?? answer("budgets").data?.budgets[0]?.currency ?? null;

let waiting = false;

function soon() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    keepingFocus(draw);
  });
}

function draw() {
  $("views").hidden = $("tools").hidden = !isIn;
  $("sign-out").hidden = !isIn;
  $("to-inbox").hidden = !isIn || !session.mayRead();
  show($("organisation"), isIn ? ["Organisation ", named(session.claims()?.orgId ?? "")] : null);
  drawLive();
  if (!isIn) {
    for (const id of ["view", "summary", "views", "number", "country"]) $(id).replaceChildren();
    document.title = "Insights";
    return;
  }
  const { accounts, numbers } = people();
  drawTools(numbers);
  show($("views"), h("ul", {}, VIEWS.map(([view, title]) => h("li", { "data-key": view }, linkTo({ ...place, view, template: null, experiment: null, plan: false }, { class: "view", "aria-current": isView(view) ? "page" : null }, title)))));
  show($("summary"), summary(accounts));
  show($("view"), sections(accounts, numbers));
  document.title = `${titleNow()} · Insights`;
  if (!toFocus) return;
  const heading = $("summary").querySelector("h2") ?? $("view").querySelector("h2");
  if (!heading) return; // its part of the page is on its way
  toFocus = false;
  focusOn(heading, { preventScroll: true });
}

const isView = (view) => (place.template ? view === "templates" : place.experiment ? view === "experiments" : view === place.view);

function titleNow() {
  if (place.template) return isolated(answer("template day").data?.template.name ?? "Template");
  if (place.experiment) return isolated(answer("experiment").data?.name ?? "Experiment");
  return VIEWS.find(([view]) => view === place.view)[1];
}

/** The names of accounts and the numbers, by their ids. */
function people() {
  const wabas = answer("accounts").data?.wabas ?? [];
  const nameOf = ({ waba_id, phones }) => (phones ?? []).map((phone) => upright(phone.verified_name)).find(Boolean) ?? waba_id;
  return {
    accounts: new Map(wabas.map((waba) => [waba.waba_id, nameOf(waba)])),
    numbers: new Map(wabas.flatMap(({ phones }) => (phones ?? []).map((phone) => [phone.phone_number_id, `${phone.display_phone_number ?? phone.phone_number_id} ${upright(phone.verified_name)}`.trim()]))),
  };
}

function sections(accounts, numbers) {
  const isAdmin = session.isAdmin();
  const wanted = place.template ? "template" : place.experiment || place.view === "experiments" ? "experiments" : null;
  const part = wanted && load(wanted);
  if (wanted && !part) return h("div", { class: "card", "data-key": "part" }, instead({ status: part === null ? "failed" : "loading" }));
  if (place.template) {
    return part.templateSections(place, { byDay: answer("template day"), byVersion: answer("template version"), breakdown: answer("breakdown"), failures: answer("failures"), costs: answer("costs template"), numbers, isAdmin }, today());
  }
  if (place.experiment) return part.experimentSections(place, { experiment: answer("experiment"), looks: answer("looks"), accounts }, { isAdmin });
  switch (place.view) {
    case "costs":
      return [
        ...costSections(place, { byDay: answer("costs day"), byGroup: answer("costs group"), numbers }, today()),
        reconciledSection({ reconciliation: answer("reconciliation"), accounts }),
      ];
    case "advice":
      return [adviceSection(place, { advice: answer("advice"), accounts }, { isAdmin })];
    case "experiments":
      return part.experimentsSections(place, { experiments: answer("experiments"), sendable: answer("sendable"), accounts }, { isAdmin });
    default:
      return [templatesTable(place, { templates: answer("templates") }, today()), failuresSection(place, { failures: answer("failures") }, today())];
  }
}

/** A part of the page; undefined while it is on its way, null where it can't be loaded. */
function load(name) {
  if (!later.has(name)) {
    later.set(name, undefined);
    const wanted = name === "template" ? import("./template.js") : import("./experiments.js");
    wanted.then((found) => later.set(name, found), () => later.set(name, null)).then(soon);
  }
  return later.get(name);
}

/** What stands above the days and the filters, for it is of the whole month. */
function summary(accounts) {
  if (place.template || place.experiment || !["templates", "costs"].includes(place.view)) return null;
  const month = { forecast: answer("forecast"), budgets: answer("budgets"), accounts };
  const cards = budgets.monthCards(place, month, today());
  return place.view === "costs" ? [cards, budgets.budgetsSection(month, { isAdmin: session.isAdmin() })]
    : [cards, bestAdvice(place, { advice: answer("advice"), troubled: answer("troubled") })];
}

function drawTools(numbers) {
  const isTable = place.view === "templates" && !place.template && !place.experiment;
  const hasDays = isTable || Boolean(place.template) || (place.view === "costs" && !place.experiment);
  const hasFilter = hasDays;
  $("tools").hidden = !hasDays;
  set("days", PERIODS, place.days);
  for (const name of ["from", "to"]) {
    $(`${name}-label`).hidden = place.days !== "dates";
    $(name).max = today();
    if ($(name) !== document.activeElement) $(name).value = place[name] ?? "";
  }
  $("number-label").hidden = !hasFilter || (numbers.size < 2 && !place.number);
  $("country-label").hidden = !hasFilter;
  $("search-label").hidden = !isTable;
  set("number", [["", "All numbers"], ...[...numbers].map(([id, name]) => [id, isolated(name)]), ...(place.number && !numbers.has(place.number) ? [[place.number, place.number]] : [])], place.number ?? "");
  const all = COUNTRIES.map((code) => [code, country(code)]).sort(([, one], [, other]) => one.localeCompare(other));
  set("country", [["", "All countries"], ...all, ...(place.country && !COUNTRIES.includes(place.country) ? [[place.country, country(place.country)]] : [])], place.country ?? "");
}

const drawnOptions = new Map();

function set(id, options, value) {
  const token = JSON.stringify(options);
  if (drawnOptions.get(id) !== token || !$(id).options.length) show($(id), choices(options, value));
  drawnOptions.set(id, token);
  if ($(id).value !== value) $(id).value = value;
}

function drawLive() {
  if (!isIn) return live("plain", "Not signed in");
  const known = Object.keys(needs()).map(answer);
  if (known.some(isUnreached)) return live("bad", "Can't be brought up to date, retrying");
  const oldest = Math.min(...known.filter(({ at }) => at).map(({ at }) => at));
  return Number.isFinite(oldest) ? live("good", h("span", {}, "As of ", ago(oldest))) : live("plain", "Loading…");
}

function live(kind, words) {
  $("live").className = `live ${kind}`;
  show($("live"), h("i", { "aria-hidden": "true" }), typeof words === "string" ? h("span", {}, words) : words);
}

start();
