// Choosing a template and filling it in: as the person will see it, and checked before it is sent.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";
import { h, icon, oneTabStop, show, showList, walkable } from "../shared/dom.js";
import { message } from "../shared/preview.js";
import { language, named, plain, quality } from "../shared/words.js";
import { componentsOf, fieldsOf, keyOf, withValues } from "./fill.js";
import { ignore, load } from "./templates.js";

const TYPED = 400; // ms without a key until what was typed is checked
const SHOWN = 100; // templates in the list

const $ = (id) => document.getElementById(id);
let picking = null; // {conversation, templates, failed, q, template, values, check, touched}
let send = () => {};
let signedOut = () => {};
let typing = null;

/** Listen to the dialog, once. `onSend` takes Meta's content and the words that stand for it. */
export function begin({ onSend, onSignedOut }) {
  [send, signedOut] = [onSend, onSignedOut];
  const dialog = $("picker");
  dialog.addEventListener("close", () => {
    clearTimeout(typing);
    picking = null;
    for (const id of ["picker-list", "picker-state", "picker-fields", "picker-preview", "picker-problem", "picker-title-name"]) $(id).replaceChildren();
  });
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  $("picker-search").addEventListener("input", ({ target }) => {
    picking.q = target.value.trim().toLowerCase();
    draw();
  });
  $("picker-list").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) choose(picking.templates.find(({ template_id }) => template_id === button.dataset.template));
  });
  walkable($("picker-list"), "button", () => oneTabStop($("picker-list"), "button"));
  $("picker-fields").addEventListener("input", ({ target }) => {
    picking.values[target.dataset.field] = target.value;
    picking.touched.add(target.dataset.field);
    drawPreview();
    checkSoon();
  });
  $("picker-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}

export async function open(conversation) {
  picking = { conversation, templates: null, failed: false, q: "", template: null, values: {}, check: null, touched: new Set() };
  const mine = picking;
  $("picker-search").value = "";
  draw();
  $("picker").showModal();
  $("picker-search").focus();
  try {
    const templates = await load(conversation.waba_id);
    if (picking !== mine) return;
    mine.templates = templates.filter(({ status }) => status === "APPROVED");
  } catch (error) {
    ignore(error);
    if (picking !== mine) return;
    mine.failed = true;
  }
  draw();
}

function choose(template) {
  Object.assign(picking, { template, values: {}, check: null, touched: new Set() });
  draw();
  const first = $("picker-fields").querySelector("input");
  (first ?? $("picker-send")).focus();
  check();
}

export function back() {
  Object.assign(picking, { template: null, check: null });
  draw();
  $("picker-search").focus();
}

/* ---- checking and sending ---- */

function content() {
  const { template, values } = picking;
  const components = componentsOf(template, values);
  return { type: "template", template: { name: template.name, language: { code: template.language }, ...(components.length ? { components } : {}) } };
}

function checkSoon() {
  clearTimeout(typing);
  typing = setTimeout(check, TYPED);
}

/** Ask whether it would be refused. Only what somebody has touched, or wanted to send, is said to be missing. */
async function check() {
  clearTimeout(typing);
  const mine = picking;
  const asked = content();
  const { template } = mine;
  let result;
  try {
    const { ok, refusal } = await call("/messages/check", { method: "POST", body: { conversation_id: mine.conversation.conversation_id, ...asked } });
    result = { ok, problem: refusal, wrong: [] };
  } catch (error) {
    if (error instanceof SignedOut) return signedOut();
    if (error instanceof Refused) result = { ok: false, problem: error.problem.wrong ? null : { message: error.message, remedy: error.problem.remedy }, wrong: error.problem.wrong ?? [] };
    else if (error instanceof Unreachable) result = { ok: null, problem: { message: "We can't be reached right now, so it is not checked.", remedy: null }, wrong: [] };
    else throw error;
  }
  if (picking !== mine || mine.template !== template || JSON.stringify(content()) !== JSON.stringify(asked)) return null;
  mine.check = result;
  drawProblems();
  return result;
}

async function submit() {
  for (const { key } of fieldsOf(picking.template)) picking.touched.add(key);
  $("picker-send").setAttribute("aria-disabled", "true");
  const mine = picking;
  const result = await check();
  $("picker-send").setAttribute("aria-disabled", "false");
  if (picking !== mine || !result) return;
  if (result.ok !== true) {
    ($("picker-fields").querySelector("[aria-invalid=true]") ?? $("picker-problem")).focus();
    return;
  }
  send(content(), wordsOf(picking.template, picking.values));
  $("picker").close();
}

/** The body as text, for where no template can be drawn. */
function wordsOf({ components }, values) {
  const body = components.find(({ type }) => String(type).toUpperCase() === "BODY")?.text ?? "";
  return body.replace(/\{\{\s*(\w+)\s*\}\}/g, (whole, name) => values[keyOf("body", name)] || whole);
}

/* ---- what is shown ---- */

function draw() {
  const { templates, failed, q, template } = picking;
  $("picker-choose").hidden = template !== null;
  $("picker-form").hidden = template === null;
  $("picker-back").hidden = template === null;
  if (template) return drawForm();
  const found = (templates ?? []).filter((each) => !q || [each.name, each.name.replaceAll("_", " "), language(each.language), each.category, ...each.components.map(({ text }) => text ?? "")].join("\n").toLowerCase().includes(q));
  showList($("picker-list"), found.slice(0, SHOWN).map((each) => ({ key: each.template_id, token: each.template_id + each.quality, build: () => row(each) })));
  oneTabStop($("picker-list"), "button");
  show($("picker-title-name"), null);
  show($("picker-state"), failed ? h("p", { class: "error", role: "alert" }, "Templates can't be shown right now. Close this and try again.")
    : templates === null ? h("p", { class: "muted" }, "Templates are coming…")
      : !found.length ? h("p", { class: "muted" }, q ? "No approved template matches." : "This account has no approved template yet.")
        : found.length > SHOWN ? h("p", { class: "fine" }, `The first ${SHOWN} of ${found.length}: search for the others.`) : null);
}

function row(template) {
  const body = template.components.find(({ type }) => String(type).toUpperCase() === "BODY")?.text ?? "";
  return h("li", {}, h("button", { class: "choice-row", type: "button", "data-template": template.template_id },
    h("span", { class: "grow" }, named(template.name, { class: "strong name" }), h("span", { class: "fine one-line", dir: "auto" }, body), h("span", { class: "fine" }, `${language(template.language)} · ${plain(template.category)}`)),
    quality(template.quality)));
}

function drawForm() {
  const { template, values } = picking;
  const fields = fieldsOf(template);
  show($("picker-title-name"), named(template.name));
  show($("picker-fields"), fields.length ? fields.map((field) => {
    const id = `field ${field.key}`;
    return h("div", { class: "field", "data-key": `${template.template_id} ${field.key}` },
      h("label", { for: id }, field.label, field.optional ? h("span", { class: "fine" }, " (may be left out)") : null),
      h("input", { id, "data-field": field.key, type: { url: "url", moment: "datetime-local" }[field.kind] ?? "text", inputmode: field.kind === "number" ? "decimal" : null, dir: "auto", autocomplete: "off", placeholder: field.example ? `such as ${field.example}` : null, "aria-describedby": `${id} wrong`, value: values[field.key] }),
      h("p", { class: "error", id: `${id} wrong` }));
  }) : h("p", { class: "muted" }, "Nothing has to be filled in."));
  drawPreview();
  drawProblems();
}

function drawPreview() {
  const { template, values } = picking;
  show($("picker-preview"), message(withValues(template.components, values), template.language, { when: null }));
}

function drawProblems() {
  const { template, check: result, touched } = picking;
  const fields = fieldsOf(template);
  const of = (wrong) => fields.find((field) => field.part === wrong.part && (String(field.parameter) === String(wrong.parameter)))
    ?? fields.find((field) => field.part === wrong.part && (field.parameter === null || wrong.parameter === null || wrong.parameter === undefined))
    ?? fields.find((field) => field.part === wrong.part) ?? null; // such as of a place, which has several
  const said = new Map();
  const rest = [];
  for (const wrong of result?.wrong ?? []) {
    const field = of(wrong);
    if (field) said.set(field.key, said.get(field.key) ?? wrong.message);
    else rest.push(`${wrong.part}: ${wrong.message}`);
  }
  for (const { key } of fields) {
    const input = document.getElementById(`field ${key}`);
    const text = touched.has(key) ? (said.get(key) ?? "") : "";
    const place = document.getElementById(`field ${key} wrong`);
    if (place.textContent !== text) place.textContent = text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  const problem = result?.problem ?? (rest.length ? { message: rest.join(" "), remedy: null } : null);
  show($("picker-problem"), problem ? [icon("alert"), h("span", {}, problem.message, problem.remedy ? ` ${problem.remedy}` : null)] : null);
}
