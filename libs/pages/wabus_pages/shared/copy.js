// Buttons that copy what people else would have to select: ids, addresses, what support asks for.

import { h, icon } from "./dom.js";
import { announce } from "./announce.js";

const SHOWN = 2_000; // ms that a button says what it did

/** A small button that copies `text`; `what` completes "Copy …". */
export function copyButton(text, what) {
  return h("button", { class: "copy", type: "button", "data-action": "copy", "data-text": text, "data-what": what, "aria-label": `Copy ${what}`, title: `Copy ${what}` }, icon("copy"));
}

/** Copy what a button holds. Returns whether that was possible. */
export async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.text);
  } catch {
    return false; // not over plain http, or the browser was told not to
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), SHOWN);
  announce("Copied.");
  return true;
}
