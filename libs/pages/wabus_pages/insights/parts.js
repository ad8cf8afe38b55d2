// What several parts of the page are made of: what is said instead of an answer, buttons that lead somewhere, CSV.

import { h, icon } from "../shared/dom.js";
import { ago } from "../shared/time.js";
import { parametersOf } from "./place.js";

const MISSING = "Not available: this service does not answer that.";
const FORBIDDEN = "Your role does not allow this. Ask an administrator of your organisation.";
const FAILED = "This can't be shown right now.";
const RECOUNTING = "Costs are being counted anew, so some of these amounts may still change.";

/**
 * A section of the page: its heading, what goes beside it, and its content made of an answer, or what is to be said in
 * its place. Of more than one answer the first that is not there is said.
 */
export function section({ key, title, beside = null, of, content, level = 2, path = null, name = null }) {
  const lacking = of.find(({ data }) => data === null);
  const stale = of.find(({ data, status }) => data !== null && status === "failed");
  return h("section", { class: "card part-card", "data-key": key, "aria-labelledby": `title-${key}` },
    h("div", { class: "section-head" },
      h(`h${level}`, { id: `title-${key}`, tabindex: "-1", class: "grow" }, title),
      beside,
      path && !lacking ? csvButton(path, name ?? key, title) : null),
    lacking ? instead(lacking) : content(),
    of.some(({ data }) => data?.recounting) ? h("p", { class: "note-line muted", "data-key": "recounting" }, icon("sync"), ` ${RECOUNTING}`) : null,
    stale ? h("p", { class: "error", role: "status" }, "Can't be brought up to date right now; this is of ", ago(stale.at), ".") : null);
}

/** What is said where there is no answer: that it is on its way, or why there is none. */
export function instead({ status, message, code }) {
  if (status === "loading") return h("div", { class: "loading", "data-key": "loading" }, h("span", { class: "unseen" }, "Loading…"), h("i", { "aria-hidden": "true" }), h("i", { "aria-hidden": "true" }), h("i", { "aria-hidden": "true" }));
  if (status === "missing") return h("p", { class: "muted", "data-key": "missing" }, (code ?? "").endsWith("_not_found") && message ? message : MISSING);
  if (status === "forbidden") return h("p", { class: "muted", "data-key": "forbidden" }, icon("shield"), " ", FORBIDDEN);
  return h("p", { class: "error", role: "alert", "data-key": "failed" }, message || FAILED, " ",
    h("button", { class: "button text flush", type: "button", "data-action": "again" }, "Try again"));
}

/** A button that saves what a section shows as CSV. */
export function csvButton(path, name, what) {
  return h("button", { class: "button text small", type: "button", "data-action": "csv", "data-path": path, "data-name": name, "data-key": `csv ${name}` }, icon("document"), "CSV", h("span", { class: "unseen" }, ` of ${what}`));
}

/** A link to another place of this page. */
export function linkTo(place, attributes, ...words) {
  const query = new URLSearchParams(Object.entries(parametersOf(place)).filter(([, value]) => value));
  return h("a", { href: `/insights${query.size ? `?${query}` : ""}`, "data-action": "go", ...attributes }, words);
}

export function field(label, control, attributes = {}) {
  return h("label", { class: "field", ...attributes }, h("span", { class: "label" }, label), control);
}

export function choices(found, chosen) {
  return found.map(([value, text]) => h("option", { value, "data-key": value, selected: value === chosen }, text));
}

/** A fact: its name over its value. */
export function fact(name, value, more = null) {
  return h("div", { class: "fact", "data-key": name }, h("dt", {}, name), h("dd", {}, value, more ? h("span", { class: "muted" }, more) : null));
}
