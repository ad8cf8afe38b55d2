// What the page shows, as its address says it: the view, the days, the filters. And what has to be asked for that. Pure.

export const VIEWS = [["templates", "Templates"], ["costs", "Costs"], ["advice", "Advice"], ["experiments", "Experiments"]];
export const PERIODS = [["7", "Last 7 days"], ["30", "Last 30 days"], ["90", "Last 90 days"], ["month", "This month"], ["last-month", "Last month"], ["dates", "Other days"]];
export const SORTS = ["name", "accepted", "delivered", "read", "replied", "clicked", "stopped", "failed", "cost"];
export const BREAKDOWNS = [["country", "Country"], ["number", "Business number"], ["hour", "Hour"]];
export const GROUPS = [["category", "Category"], ["market", "Market"], ["number", "Business number"], ["template", "Template"], ["campaign", "Campaign"]];
export const NAMES = ["view", "template", "experiment", "days", "from", "to", "number", "country", "sort", "order", "q", "by", "group", "dismissed", "plan"];
const RATES = { delivered: "delivery_rate", read: "read_rate", replied: "reply_rate", clicked: "click_rate", stopped: "stop_rate", failed: "failure_rate" };
const USUAL = { view: "templates", days: "30", sort: "accepted", order: "desc", by: "country", group: "category" };
export const STEP = 50; // rows, until more are asked for
export const ROWS_MOST = 1_000; // that the API tells at once
const TROUBLED_SHOWN = 3;
const MOST_DAYS = 400;
const HOURS_MOST = 31; // days that can be asked for by the hour
const FAILURES_MOST = 92; // days of which the reasons of all templates can be asked for
const SENDABLE = "template_id,waba_id,name,language,category,header,body,buttons,carousel,limited_time_offer";
const DAY = 86_400_000; // ms
const ISO = /^\d{4}-\d{2}-\d{2}$/;

/** What an address asks for; what can't be is as usual. */
export function placeOf(given) {
  const one = (name, allowed) => (allowed.includes(given[name]) ? given[name] : USUAL[name]);
  const place = {
    view: one("view", VIEWS.map(([name]) => name)),
    template: given.template ?? null,
    experiment: given.experiment ?? null,
    days: one("days", PERIODS.map(([name]) => name)),
    from: isDay(given.from) ? given.from : null,
    to: isDay(given.to) ? given.to : null,
    number: /^\d{1,32}$/.test(given.number ?? "") ? given.number : null,
    country: /^[A-Z]{2}$/.test(given.country ?? "") ? given.country : null,
    sort: one("sort", SORTS),
    order: one("order", ["desc", "asc"]),
    q: given.q ?? "",
    by: one("by", BREAKDOWNS.map(([name]) => name)),
    group: one("group", GROUPS.map(([name]) => name)),
    dismissed: given.dismissed === "yes",
    plan: given.plan === "yes",
  };
  if (place.days === "dates" && !(place.from && place.to && place.from <= place.to)) return { ...place, days: USUAL.days, from: null, to: null };
  return place.days === "dates" ? place : { ...place, from: null, to: null };
}

/** A place as the parameters of an address; what is as usual is left out. */
export function parametersOf(place) {
  return Object.fromEntries(NAMES.map((name) => {
    const value = place[name] === true ? "yes" : place[name];
    return [name, value && value !== USUAL[name] ? value : null];
  }));
}

/** The first and the last day of what is shown; `today` is the reader's day, all of them are days of each account's own zone. */
export function periodOf({ days, from, to }, today) {
  if (days === "dates") return { from: from < plusDays(to, 1 - MOST_DAYS) ? plusDays(to, 1 - MOST_DAYS) : from, to };
  if (days === "month") return { from: `${today.slice(0, 7)}-01`, to: today };
  if (days === "last-month") {
    const last = plusDays(`${today.slice(0, 7)}-01`, -1);
    return { from: `${last.slice(0, 7)}-01`, to: last };
  }
  return { from: plusDays(today, 1 - Number(days)), to: today };
}

export const plusDays = (iso, days) => new Date(Date.parse(`${iso}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);

/** Every day from the first to the last. */
export function daysOf({ from, to }) {
  const found = [];
  for (let day = from; day <= to && found.length <= MOST_DAYS; day = plusDays(day, 1)) found.push(day);
  return found;
}

/** What is asked for a place, by the name of each answer; of templates so many `rows`. */
export function needsOf(place, today, rows = STEP) {
  const { from, to } = periodOf(place, today);
  const filter = { from, to, number: place.number, country: place.country };
  const costs = (by, more) => `/costs${query({ ...filter, by, limit: "1000", ...more })}`;
  const always = { accounts: "/webhook/health/detailed" };
  const money = { forecast: "/costs/forecast", budgets: "/budgets", advice: `/advice${place.dismissed ? "?dismissed=true" : ""}` };
  if (place.template) {
    const one = `/performance/templates/${encodeURIComponent(place.template)}`;
    return {
      ...always,
      "template day": `${one}${query({ ...filter, by: "day" })}`,
      "template version": `${one}${query({ ...filter, by: "version" })}`,
      breakdown: `${one}${query({ ...filter, ...(place.by === "hour" ? { from: laterOf(from, plusDays(to, 1 - HOURS_MOST)) } : {}), by: place.by })}`,
      "costs template": costs("template", { template: place.template }),
      failures: `${one}/failures${query(filter)}`,
    };
  }
  if (place.experiment) {
    const one = `/experiments/${encodeURIComponent(place.experiment)}`;
    return { ...always, experiment: one, looks: `${one}/looks?limit=1000` };
  }
  if (place.view === "costs") {
    return { ...always, ...money, reconciliation: "/costs/reconciliation", "costs day": costs("day"), "costs group": costs(place.group) };
  }
  if (place.view === "advice") return { ...always, advice: money.advice };
  if (place.view === "experiments") return { ...always, experiments: "/experiments?limit=200", ...(place.plan ? { sendable: `/templates${query({ limit: "500", fields: SENDABLE })}` } : {}) };
  return {
    ...always,
    ...money,
    templates: `/performance/templates${query({ ...listed(place, filter), costs: "true", meta: isFiltered(place) ? null : "true", compare: "previous", limit: String(rows) })}`,
    failures: `/performance/failures${query({ ...filter, from: laterOf(from, plusDays(to, 1 - FAILURES_MOST)) })}`,
    troubled: `/performance/templates${query({ ...filter, troubled: "true", limit: String(TROUBLED_SHOWN) })}`,
  };
}

/** The counts and costs of all templates that the table is of, however many are shown. */
export const allTemplates = (place, today) => {
  const { number, country } = place;
  return `/performance/templates${query({ ...listed(place, { ...periodOf(place, today), number, country }), costs: "true", limit: "1000" })}`;
};

const listed = ({ sort, order, q }, filter) => ({ ...filter, sort: RATES[sort] ?? sort, order, search: q.trim().slice(0, 200) });

/** Whether only a part of what was sent is looked at. */
export const isFiltered = ({ number, country }) => Boolean(number || country);

const laterOf = (one, other) => (one > other ? one : other);

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Whether it is a day that something can have been counted on. */
export function isDay(text) {
  return ISO.test(text ?? "") && text >= "2000-01-01" && !Number.isNaN(Date.parse(`${text}T00:00:00Z`)) && plusDays(text, 0) === text;
}
