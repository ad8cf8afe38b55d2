// The list of templates: search, filters, keys to walk through it, and a preview beside it or over it.

import * as address from "../shared/address.js";
import { announce } from "../shared/announce.js";
import { h, icon, oneTabStop, show, showList, walkable } from "../shared/dom.js";
import { preview } from "../shared/preview.js";
import { badge, isolated, language, named, number, plain, plural, quality, templateStatus } from "../shared/words.js";

const STEP = 50; // templates shown at once; "Show more" adds as many
const TYPED = 120; // ms without a key until the list follows what was typed
const TOLD = 500; // ms until how many there are is told to who listens
const ALL = "ALL";

const UNFILTERED = { text: "", status: ALL, waba: ALL, shown: STEP, selected: null };
const wanted = { ...UNFILTERED };
const wide = matchMedia("(min-width: 60rem)");
const texts = new WeakMap(); // by template, what the search looks at
let known = [];
let isKnown = false;
let hasFailed = false;
let names = new Map();
let awaited = false; // whether an account's first templates are on their way
let typing = null;
let telling = null;

const $ = (id) => document.getElementById(id);

/** Listen to the section's controls, once, and show what the address says. */
export function begin() {
  takeAddress();
  $("search").addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => want({ text: target.value.trim().toLowerCase(), shown: STEP }), TYPED);
  });
  $("account-filter").addEventListener("change", ({ target }) => want({ waba: target.value, shown: STEP }));
  $("filters").addEventListener("click", ({ target }) => {
    const status = target.closest("button")?.dataset.status;
    if (status) want({ status, shown: STEP });
  });
  $("list").addEventListener("click", ({ target }) => {
    const button = target.closest("button.template");
    if (button) open(button.dataset.template);
  });
  $("more").addEventListener("click", more);
  walkable($("list"), "button.template", (button) => {
    if (wide.matches) want({ selected: button.dataset.template }, { tell: false });
    else oneTabStop($("list"), "button.template");
  });
  wide.addEventListener("change", () => ($("sheet").close(), draw()));
  $("sheet").addEventListener("click", ({ target }) => target === $("sheet") && $("sheet").close());
  $("sheet").addEventListener("close", () => history.state?.sheet && history.back());
  addEventListener("popstate", () => {
    takeAddress();
    if (!history.state?.sheet) $("sheet").close();
    draw();
  });
}

/** Show these templates of these accounts; null until they are known. */
export function drawTemplates(templates, accounts, { failed = false } = {}) {
  const same = known === (templates ?? []) && isKnown === (templates !== null) && hasFailed === failed;
  const before = JSON.stringify([[...names], awaited]);
  known = templates ?? [];
  isKnown = templates !== null;
  hasFailed = failed;
  awaited = accounts.some(({ sync }) => sync.status === "syncing" && !sync.last_sync_at);
  names = new Map([...accounts].sort((one, other) => one.name.localeCompare(other.name)).map((account) => [account.waba_id, account.name]));
  $("templates").hidden = !accounts.length;
  if (same && before === JSON.stringify([[...names], awaited])) return;
  draw();
}

/** Show only those with a status, or of an account, and go there. */
export function showTemplates({ status = ALL, waba = ALL }) {
  $("search").value = "";
  want({ text: "", status, waba, shown: STEP, selected: null });
}

/** Whoever signs in next sees all templates, and not what somebody looked for before. */
export function forgetFilters() {
  Object.assign(wanted, UNFILTERED);
  [known, isKnown] = [[], false];
  $("search").value = "";
  clearTimeout(typing);
  clearTimeout(telling);
  address.write({ account: null, status: null, q: null, template: null });
}

function takeAddress() {
  const { account, status, q, template } = address.read(["account", "status", "q", "template"]);
  Object.assign(wanted, { text: (q ?? "").trim().toLowerCase(), status: status ?? ALL, waba: account ?? ALL, selected: template ?? null });
  $("search").value = q ?? "";
}

function want(changes, { tell = true } = {}) {
  Object.assign(wanted, changes);
  draw();
  address.write(inAddress());
  if (tell) tellCount();
}

function inAddress() {
  const { text, status, waba, selected } = wanted;
  return { account: waba === ALL ? null : waba, status: status === ALL ? null : status, q: text, template: selected };
}

/** On a small screen the preview is a place of its own, and Back leads from there to the list. */
function open(template) {
  if (wide.matches) return want({ selected: template }, { tell: false });
  Object.assign(wanted, { selected: template });
  history.pushState({ ...history.state, sheet: true }, "");
  address.write(inAddress());
  draw();
  $("sheet").showModal();
}

function more() {
  const next = wanted.shown;
  want({ shown: wanted.shown + STEP }, { tell: false });
  $("list").querySelectorAll("button.template")[next]?.focus();
}

function tellCount() {
  clearTimeout(telling);
  telling = setTimeout(() => announce(`${$("templates-count").textContent}.`, "templates"), TOLD);
}

function draw() {
  const isShown = isKnown && !hasFailed;
  if (isKnown && names.size && wanted.waba !== ALL && !names.has(wanted.waba)) wanted.waba = ALL;
  $("templates-tools").hidden = !isShown;
  show($("templates-state"), hasFailed ? broken() : isKnown ? null : loading());
  const found = known.filter(matches);
  const visible = found.filter(hasStatus);
  const page = visible.slice(0, wanted.shown);
  const selected = visible.find((template) => keyOf(template) === wanted.selected) ?? (wide.matches ? visible[0] : null);
  $("templates-count").textContent = !isShown ? "" : wanted.text || wanted.status !== ALL
    ? `${number(visible.length)} of ${plural(known.length, "template")}` : plural(known.length, "template");
  if (!isShown) return emptied();
  show($("filters"), chips(found));
  $("account-filter-label").hidden = names.size < 2;
  show($("account-filter"), option(ALL, "All accounts"), [...names].map(([waba_id, name]) => option(waba_id, `${isolated(name)} (${waba_id})`)));
  $("account-filter").value = wanted.waba;
  showList($("list"), page.map((template) => item(template, template === selected)));
  oneTabStop($("list"), "button.template", $("list").querySelector("[aria-current=true]"));
  $("list").hidden = !page.length;
  show($("more"), visible.length > page.length ? h("button", { class: "button quiet", type: "button" }, `Show ${number(Math.min(STEP, visible.length - page.length))} more`) : null);
  show($("no-templates"), visible.length ? null : h("p", { class: "empty muted" }, nothing()));
  show($("preview"), wide.matches && selected ? preview(selected) : null);
  show($("sheet-content"), !wide.matches && selected ? preview(selected) : null);
}

function emptied() {
  for (const id of ["filters", "account-filter", "list", "more", "no-templates", "preview", "sheet-content"]) $(id).replaceChildren();
}

function loading() {
  return h("div", { class: "loading rows-loading", "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i"));
}

function broken() {
  return h("p", { class: "error", role: "alert" }, "Templates can't be shown right now. ",
    h("button", { class: "button text flush", type: "button", "data-action": "retry-templates" }, "Try again"));
}

function nothing() {
  if (known.length) return "No template matches.";
  return awaited ? "Your templates are on their way…" : "No templates yet. Create one in WhatsApp Manager, and it shows here by itself.";
}

function chips(found) {
  const counts = new Map();
  for (const { status } of found) counts.set(status, (counts.get(status) ?? 0) + 1);
  if (wanted.status !== ALL && !counts.has(wanted.status)) counts.set(wanted.status, 0);
  const order = [...counts].sort(([a], [b]) => (b === "APPROVED") - (a === "APPROVED") || a.localeCompare(b));
  return [[ALL, found.length], ...order].map(([status, count]) =>
    h("button", { class: "chip", type: "button", "data-key": status, "data-status": status, "aria-pressed": String(wanted.status === status) },
      status === ALL ? "All" : plain(status), h("span", {}, ` ${number(count)}`)));
}

function option(value, text) {
  return h("option", { value, "data-key": value }, text);
}

function item(template, isCurrent) {
  const account = names.size > 1 ? (names.get(template.waba_id) ?? template.waba_id) : "";
  const token = [isCurrent, account, template.name, template.status, template.quality, template.language, template.category].join("\n");
  return { key: keyOf(template), token, build: () => row(template, isCurrent, account) };
}

function row(template, isCurrent, account) {
  const { name, status, category } = template;
  return h("li", {},
    h("button", { class: "template", type: "button", "data-template": keyOf(template), "aria-current": isCurrent ? "true" : null, "aria-controls": wide.matches ? "preview" : null },
      h("span", { class: "grow" },
        named(name, { class: "name strong" }),
        h("span", { class: "muted one-line" }, `${language(template.language)} · ${plain(category)}`, account ? [" · ", named(account)] : null)),
      quality(template.quality),
      badge(templateStatus(status)),
      icon("reply", "open")));
}

function matches(template) {
  return (wanted.waba === ALL || template.waba_id === wanted.waba) && (!wanted.text || textOf(template).includes(wanted.text));
}

const hasStatus = (template) => wanted.status === ALL || template.status === wanted.status;

/** What the search looks at, made once of each template. */
function textOf(template) {
  let text = texts.get(template);
  if (text === undefined) {
    const { name, language: code, category, header, body, footer } = template;
    text = [name, name.replaceAll("_", " "), code, language(code), category, header?.text, body?.text, footer?.text].join("\n").toLowerCase();
    texts.set(template, text);
  }
  return text;
}

function keyOf({ waba_id, template_id }) {
  return `${waba_id}/${template_id}`;
}
