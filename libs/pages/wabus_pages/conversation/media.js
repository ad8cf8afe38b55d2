// Addresses of media: one for each, good for minutes, asked for together and only where something is shown.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";

const TOGETHER = 30; // ms in which what is asked for is asked for together
const AT_ONCE = 100;
const GOOD = 270_000; // ms that an address is used, of the five minutes that it is good for; by a clock of ours, which may differ from the server's
const NEAR = "800px"; // from what can be seen, within which a medium is loaded

let known = new Map(); // by medium: {link, ends}
let wanted = new Map(); // by medium: who waits
let timer = null;

export function forgetMedia() {
  known = new Map();
  wanted = new Map();
}

/** The address of a medium, if there is one that is still good. */
function linkOf(media_id) {
  const found = known.get(media_id);
  return found && found.ends > Date.now() ? found.link : null;
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
  // Whoever looks at a thread goes on in it: the others that it has are asked for with them.
  const near = [...document.querySelectorAll("[data-medium]:not([src])")].map(({ dataset }) => dataset.medium).filter((id) => !linkOf(id));
  const ids = [...new Set([...asked.keys(), ...near.slice(0, Math.max(0, AT_ONCE - asked.size))])];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE);
    try {
      const { tickets } = await call("/media/tickets", { method: "POST", body: { media_ids: some } });
      for (const { media_id, link } of tickets) known.set(media_id, { link, ends: Date.now() + GOOD });
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
    }
    for (const id of some) for (const resolve of asked.get(id) ?? []) resolve(linkOf(id));
  }
}

let watcher = null; // of what comes near

/** Give each picture, film and sound under `root` that has no address one, once it is near what is seen of the scrolling `root`. */
export function fill(root) {
  watcher ??= new IntersectionObserver((seen) => seen.forEach(({ target, isIntersecting }) => isIntersecting && load(target)), { root: root.parentElement, rootMargin: NEAR });
  for (const element of root.querySelectorAll("[data-medium]:not([src])")) watcher.observe(element);
}

async function load(element) {
  watcher.unobserve(element);
  const { medium } = element.dataset;
  const link = await askLink(medium);
  if (link && element.isConnected && element.dataset.medium === medium && !element.hasAttribute("src")) element.src = link;
}

/** An address that is used up is asked for once more; what can't be shown then says so. */
export function healBroken(root) {
  root.addEventListener("error", async ({ target }) => {
    const { medium } = target.dataset ?? {};
    if (!medium) return;
    if (target.dataset.healed) return target.closest(".shown-medium")?.setAttribute("data-broken", "");
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
