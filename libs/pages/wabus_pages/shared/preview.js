// A template as a customer sees it in WhatsApp: a bubble of header, body, footer and buttons, with Meta's examples filled in.

import { copyButton } from "./copy.js";
import { h, icon } from "./dom.js";
import { parse } from "./format.js";
import { ago, clock, dated } from "./time.js";
import { badge, language, named, plain, quality, templateStatus } from "./words.js";

const VARIABLE = /\{\{\s*(\w+)\s*\}\}/g;
const PLACE = 0xe000; // private-use characters stand for variables, so that no mark is found inside one
const PLACES = /[\ue000-\ue0ff]/;
const MEDIA = { IMAGE: "image", VIDEO: "video", DOCUMENT: "document", LOCATION: "place" };
const BUTTON = { URL: "link", PHONE_NUMBER: "phone", COPY_CODE: "copy", OTP: "copy", FLOW: "form", QUICK_REPLY: "reply" };

/** The preview with what else is known of the template. */
export function preview(template) {
  return h("div", { class: "preview-inner" },
    h("div", { class: "preview-head" },
      h("h3", { class: "name" }, named(template.name), copyButton(template.name, "the template's name")),
      h("p", { class: "meta" }, badge(templateStatus(template.status)), quality(template.quality)),
      explained(template)),
    h("div", { class: "chat" }, message(template.components, template.language)),
    h("dl", { class: "facts" },
      fact("Language", language(template.language)),
      fact("Category", plain(template.category)),
      fact("Template id", h("span", { class: "id" }, template.template_id), copyButton(template.template_id, "the template's id"))));
}

/** Why it is rejected, and what Meta advises; how long it is paused. */
function explained({ rejected_reason, rejection, pause, status }) {
  const parts = [];
  if (rejected_reason) parts.push(h("p", { class: "rejected" }, `Meta's reason: ${plain(rejected_reason)}`));
  if (rejection?.reason) parts.push(h("p", { dir: "auto" }, rejection.reason));
  if (rejection?.recommendation) parts.push(h("p", { dir: "auto" }, h("strong", {}, "Meta advises: "), rejection.recommendation));
  if (status === "PAUSED" && pause) {
    const ends = pause.ends_at && new Date(pause.ends_at);
    const isToday = ends && ends.toDateString() === new Date().toDateString();
    parts.push(h("p", {}, "Paused ", ago(pause.began_at), ends ? `; Meta ends the pause at ${isToday ? clock(ends) : dated(ends)}.` : ". When it ends Meta does not say."));
  }
  return parts.length ? h("div", { class: "explained" }, parts) : null;
}

function fact(name, ...values) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, values));
}

/**
 * One message bubble; `components` are Meta's, so nothing about their shape is taken for granted. `when` is the time that it
 * shows; null for none.
 */
export function message(components, code, { when = "10:30" } = {}) {
  const all = list(components);
  const of = (type) => all.find((component) => text(component.type).toUpperCase() === type);
  const offer = of("LIMITED_TIME_OFFER")?.limited_time_offer;
  const lang = code ? code.replaceAll("_", "-") : null;
  return h("div", { class: "message", lang },
    h("div", { class: "bubble" },
      of("HEADER") && header(of("HEADER")),
      offer && h("div", { class: "offer" }, icon("clock"), h("span", {}, h("strong", { dir: "auto" }, text(offer.text)), offer.has_expiration ? h("small", {}, "Expires soon") : null)),
      of("BODY") && h("p", { class: "body", dir: "auto" }, rich(text(of("BODY").text), examples(of("BODY"), "body_text"))),
      of("FOOTER") && h("p", { class: "footer", dir: "auto" }, text(of("FOOTER").text) || expiry(of("FOOTER"))),
      when && h("span", { class: "when", "aria-hidden": "true" }, when),
      buttons(of("BUTTONS"))),
    of("CAROUSEL") && h("div", { class: "cards", tabindex: "0", role: "group", "aria-label": "Cards" },
      list(of("CAROUSEL").cards).map((card) => message(card.components, null, { when }))));
}

function header(component) {
  const format = text(component.format).toUpperCase();
  if (format === "TEXT") return h("p", { class: "header", dir: "auto" }, filled(text(component.text), examples(component, "header_text")));
  return h("div", { class: "media" }, icon(MEDIA[format] ?? "document"), h("span", {}, plain(format)));
}

function buttons(component) {
  const all = list(component?.buttons);
  if (!all.length) return null;
  return h("ul", { class: "buttons", "aria-label": "Buttons" },
    all.map((button) => h("li", { dir: "auto", title: text(button.url) || text(button.phone_number) || null },
      icon(BUTTON[text(button.type).toUpperCase()] ?? "reply"), text(button.text) || plain(button.type))));
}

function expiry(component) {
  const minutes = Number(component.code_expiration_minutes);
  return minutes ? `This code expires in ${minutes} minutes.` : "";
}

/** Meta's example for each variable, by its number or name. */
function examples(component, kind) {
  const given = component.example ?? {};
  const named = list(given[`${kind}_named_params`]).map((example) => [text(example.param_name), text(example.example)]);
  const listed = Array.isArray(given[kind]) ? given[kind].flat() : [];
  return new Map([...listed.map((example, at) => [String(at + 1), text(example)]), ...named]);
}

function rich(source, given) {
  const names = [];
  const marked = source.replace(/[\ue000-\ue0ff]/g, "").replace(VARIABLE, (whole, name) =>
    names.length > 0xff ? whole : String.fromCharCode(PLACE + names.push(name) - 1));
  const nodes = (parts) => parts.flatMap((part) =>
    typeof part === "string"
      ? part.split(/([\ue000-\ue0ff])/).map((piece) => (PLACES.test(piece) ? variable(names[piece.charCodeAt(0) - PLACE], given) : piece))
      : h(part.tag, {}, nodes(part.children)));
  return nodes(parse(marked));
}

function filled(source, given) {
  return source.split(VARIABLE).map((part, at) => (at % 2 ? variable(part, given) : part));
}

function variable(name, given) {
  const example = given.get(name);
  return h("span", { class: "variable", title: `Variable ${name}` }, example || `{{${name}}}`);
}

function text(value) {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

function list(value) {
  return Array.isArray(value) ? value.filter((each) => each && typeof each === "object") : [];
}
