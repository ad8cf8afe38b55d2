// What a person is asked before it is done.

import { show } from "./dom.js";
import { named } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Open a dialog, with these words where it has none of its own; returns whether the person says yes. */
export async function confirmed(id, words = null) {
  if (words) show($(`${id}-text`), words);
  const dialog = $(id);
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (words) $(`${id}-text`).replaceChildren(); // it may have named a person
  return dialog.returnValue === "yes";
}

/** A link may sign this tab in to another organisation only if its person wants that. */
export function askToReplace(here, there) {
  const other = there === null ? "with an access token that can't be read" : ["to the organisation “", named(there), "”"];
  return confirmed("replace", ["This tab is signed in to the organisation “", named(here), "”. The link that you have opened would sign it in ", other, "."]);
}
