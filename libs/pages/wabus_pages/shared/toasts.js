// Short news at the edge of the screen, wherever a person has scrolled to: of what has no place of its own in the page.

import { h, icon, keepingFocus, show } from "./dom.js";

const STAYS = 8_000; // ms of what went well; what failed stays until it is dismissed
const MOST = 3;
let toasts = [];
let count = 0;

/** Show a sentence; `parts` are nodes or texts. `kind` is `good` or `bad`. */
export function toast(kind, ...parts) {
  const id = ++count;
  toasts = [...toasts, { id, kind, parts }].slice(-MOST);
  draw();
  if (kind === "good") later(id);
}

export function dismiss(id) {
  toasts = toasts.filter((each) => each.id !== Number(id));
  draw();
}

/** Dismiss the one that an element is in. */
export function dismissAround(element) {
  dismiss(element.closest(".toast")?.dataset.key.replace("toast ", ""));
}

export function dismissAll() {
  toasts = [];
  draw();
}

/** Not while somebody points at it or is in it. */
function later(id) {
  setTimeout(() => {
    const shown = document.querySelector(`[data-key="toast ${id}"]`);
    if (shown?.matches(":hover, :focus-within")) later(id);
    else dismiss(id);
  }, STAYS);
}

function draw() {
  keepingFocus(() => show(document.getElementById("toasts"), toasts.map(({ id, kind, parts }) =>
    h("div", { class: `toast ${kind}`, "data-key": `toast ${id}`, role: kind === "bad" ? "alert" : "status" },
      icon(kind === "bad" ? "alert" : "check"),
      h("p", { class: "grow" }, parts.map((part) => (part instanceof Node ? part.cloneNode(true) : part))),
      h("button", { class: "close", type: "button", "data-action": "dismiss-toast", "data-id": id, "aria-label": "Dismiss" }, icon("cross"))))));
}
