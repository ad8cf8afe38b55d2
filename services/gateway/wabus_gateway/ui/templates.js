// The list of templates: search, filters, keys to walk through it, and a preview beside it or over it.

import { h, icon, show } from "./dom.js";
import { preview } from "./preview.js";
import { badge, language, number, plain, plural, quality, templateStatus } from "./words.js";

const STEP = 100; // templates shown at once; "Show more" adds as many
const ALL = "ALL";

const wanted = { text: "", status: ALL, waba: ALL, shown: STEP, selected: null };
const wide = matchMedia("(min-width: 60rem)");
let known = [];
let names = new Map();
let awaited = false; // whether an account's first templates are on their way

const $ = (id) => document.getElementById(id);

/** Listen to the section's controls, once. */
export function begin() {
  $("search").addEventListener("input", ({ target }) => want({ text: target.value.trim().toLowerCase(), shown: STEP }));
  $("account-filter").addEventListener("change", ({ target }) => want({ waba: target.value, shown: STEP }));
  $("filters").addEventListener("click", ({ target }) => {
    const status = target.closest("button")?.dataset.status;
    if (status) want({ status, shown: STEP });
  });
  $("list").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (button.dataset.more) return want({ shown: wanted.shown + STEP });
    want({ selected: button.dataset.template });
    if (!wide.matches) $("sheet").showModal();
  });
  $("list").addEventListener("keydown", walk);
  wide.addEventListener("change", () => ($("sheet").close(), draw()));
  $("sheet").addEventListener("click", ({ target }) => target === $("sheet") && $("sheet").close());
}

/** Show these templates of these accounts. */
export function drawTemplates(templates, accounts) {
  known = templates ?? [];
  awaited = accounts.some(({ sync }) => sync.status === "syncing" && !sync.last_sync_at);
  names = new Map(accounts.map((account) => [account.waba_id, account.name]));
  $("templates").hidden = !accounts.length || templates === null;
  if (!names.has(wanted.waba)) wanted.waba = ALL;
  draw();
}

function want(changes) {
  Object.assign(wanted, changes);
  draw();
}

function draw() {
  const found = known.filter(matches);
  const visible = found.filter(hasStatus);
  const page = visible.slice(0, wanted.shown);
  const selected = visible.find((template) => keyOf(template) === wanted.selected) ?? (wide.matches ? visible[0] : null);
  $("templates-count").textContent = wanted.text || wanted.status !== ALL
    ? `${number(visible.length)} of ${plural(known.length, "template")}` : plural(known.length, "template");
  show($("filters"), chips(found));
  $("account-filter-label").hidden = names.size < 2;
  show($("account-filter"), option(ALL, "All accounts"), [...names].map(([waba_id, name]) => option(waba_id, `${name} (${waba_id})`)));
  $("account-filter").value = wanted.waba;
  show($("list"),
    h("ul", { class: "templates" }, page.map((template) => row(template, template === selected))),
    visible.length > page.length ? h("button", { class: "button quiet more", type: "button", "data-more": "1" }, `Show ${number(Math.min(STEP, visible.length - page.length))} more`) : null,
    visible.length ? null : h("p", { class: "empty muted" }, nothing()));
  show($("preview"), wide.matches && selected ? preview(selected) : null);
  show($("sheet-content"), !wide.matches && selected ? preview(selected) : null);
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

function row(template, current) {
  const { name, status, category } = template;
  return h("li", { "data-key": keyOf(template) },
    h("button", { class: "template", type: "button", "data-template": keyOf(template), "aria-current": current ? "true" : null },
      h("span", { class: "grow" },
        h("strong", {}, name),
        h("span", { class: "muted" }, `${language(template.language)} · ${plain(category)}`, names.size > 1 ? ` · ${names.get(template.waba_id) ?? template.waba_id}` : null)),
      quality(template.quality),
      badge(templateStatus(status)),
      icon("reply", "open")));
}

function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  const buttons = [...$("list").querySelectorAll("button.template")];
  const at = buttons.indexOf(document.activeElement);
  if (at < 0) return;
  event.preventDefault();
  const next = buttons[Math.max(0, Math.min(buttons.length - 1, at + step))];
  next.focus();
  if (wide.matches) want({ selected: next.dataset.template });
}

function matches(template) {
  return (wanted.waba === ALL || template.waba_id === wanted.waba) && (!wanted.text || haystack(template).includes(wanted.text));
}

const hasStatus = (template) => wanted.status === ALL || template.status === wanted.status;

function haystack({ name, language: code, category, header, body, footer }) {
  return [name, name.replaceAll("_", " "), code, language(code), category, header?.text, body?.text, footer?.text].join("\n").toLowerCase();
}

function keyOf({ waba_id, template_id }) {
  return `${waba_id}/${template_id}`;
}
