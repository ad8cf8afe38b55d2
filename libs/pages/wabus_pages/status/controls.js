// What several parts of the page are made of: buttons that act, what they were refused for, and how far something is.

import { h, icon } from "../shared/dom.js";
import { named, number, plural } from "../shared/words.js";

/** Why a button's work was refused, beside it; null where it was not. */
export function failure({ failures }, button) {
  const failed = failures.get(button);
  // Keyed by when: the same words again are a new element, and are said again.
  return failed ? h("p", { class: "error", role: "alert", "data-key": `failure ${failed.id}` }, failed.text) : null;
}

export function connectButton(text, button, { leaving }) {
  const isThis = leaving === button;
  return h("button", { class: "button", type: "button", "data-action": "connect", "data-button": button, "data-key": `connect ${button}`, "aria-disabled": leaving ? "true" : null },
    isThis ? [icon("pending", "spin"), "Opening Meta…"] : text);
}

export function syncButton({ waba_id, name, sync }, { named: withName = false } = {}) {
  const busy = sync.status === "syncing";
  return h("button", { class: "button quiet", type: "button", "data-action": "sync", "data-waba": waba_id, "data-key": `sync ${waba_id}`, "aria-disabled": busy ? "true" : null },
    icon("sync", busy ? "spin" : ""), busy ? "Syncing…" : "Sync now", withName ? [" ", named(name)] : h("span", { class: "unseen" }, " ", named(name)));
}

/** Meta says how many there are only when it has listed them all: what we had before is a good guess. */
export function fetchedSoFar({ fetched, expected }) {
  return expected ? `Fetched ${number(fetched)} of about ${number(expected)} templates` : `Fetched ${plural(fetched, "template")} so far`;
}

export function progressBar(progress) {
  const known = progress?.expected > 0;
  const attributes = { class: "progress", "data-key": "progress", "aria-label": "Templates fetched" };
  return known ? h("progress", { ...attributes, value: Math.min(progress.fetched ?? 0, progress.expected), max: progress.expected }) : h("progress", attributes);
}

/** One step of a way, with how far it is. */
export function step(title, text, kind) {
  const glyph = { good: "check", wait: "pending", bad: "cross", plain: "clock" }[kind];
  return h("li", { class: kind, "data-key": title }, h("span", { class: "dot" }, icon(glyph, kind === "wait" ? "spin" : "")),
    h("span", {}, h("strong", {}, title), h("span", { class: "muted" }, text)));
}
