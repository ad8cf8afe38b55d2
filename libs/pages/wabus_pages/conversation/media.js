// Addresses of media: one for each, good for minutes, asked for together and only where something is shown.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";

const TOGETHER = 30; // ms in which what is asked for is asked for together
const AT_ONCE = 100;
const EARLY = 20_000; // ms before its end an address counts as used up

let known = new Map(); // by medium: {link, ends}
let wanted = new Map(); // by medium: who waits
let timer = null;

export function forgetMedia() {
  known = new Map();
  wanted = new Map();
}

/** The address of a medium, if there is one that is still good. */
export function linkOf(media_id) {
  const found = known.get(media_id);
  return found && found.ends > Date.now() + EARLY ? found.link : null;
}

/** The address of a medium; null where there is none. */
export function askLink(media_id, { anew = false } = {}) {
  if (anew) known.delete(media_id);
  const link = linkOf(media_id);
  if (link) return Promise.resolve(link);
  return new Promise((resolve) => {
    wanted.set(media_id, [...(wanted.get(media_id) ?? []), resolve]);
    timer ??= setTimeout(ask, TOGETHER);
  });
}

async function ask() {
  timer = null;
  const asked = wanted;
  wanted = new Map();
  const ids = [...asked.keys()];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE);
    try {
      const { tickets } = await call("/media/tickets", { method: "POST", body: { media_ids: some } });
      for (const { media_id, link, ends_at } of tickets) known.set(media_id, { link, ends: Date.parse(ends_at) });
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
    }
    for (const id of some) for (const resolve of asked.get(id)) resolve(linkOf(id));
  }
}

/** Give each picture, film and sound under `root` that has no address one. */
export function fill(root) {
  for (const element of root.querySelectorAll("[data-medium]:not([src])")) {
    if (element.dataset.asked) continue;
    element.dataset.asked = "yes";
    askLink(element.dataset.medium).then((link) => {
      delete element.dataset.asked;
      if (link && element.isConnected) element.src = link;
    });
  }
}

/** An address that is used up is asked for once more; what can't be shown then says so. */
export function healBroken(root) {
  root.addEventListener("error", async ({ target }) => {
    const { medium } = target.dataset ?? {};
    if (!medium) return;
    if (target.dataset.healed) return target.closest(".shown-medium")?.classList.add("broken");
    target.dataset.healed = "yes";
    const place = target.currentTime || 0;
    const link = await askLink(medium, { anew: true });
    if (!link || !target.isConnected) return;
    target.src = link;
    if (place) target.currentTime = place;
  }, true);
}

/** Save a medium under its own name. */
export async function save(media_id, name) {
  const link = await askLink(media_id);
  if (!link) return false;
  const anchor = document.createElement("a");
  anchor.href = link;
  anchor.download = name;
  anchor.click();
  return true;
}
