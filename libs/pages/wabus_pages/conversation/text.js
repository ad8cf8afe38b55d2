// What somebody wrote, as it is meant: WhatsApp's marks become looks, addresses become links, and markup stays text.

import { h } from "../shared/dom.js";
import { parse } from "../shared/format.js";
import { upright } from "../shared/words.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/giu;
const TRAILING = /[.,;:!?)\]}'"»”’]+$/u;
const SHOWN = 1_500; // characters until a text is cut
const LONGEST = 65_536; // characters that are looked at

/** Nodes for a text. */
export function rich(text) {
  return nodes(parse(text.slice(0, LONGEST)));
}

function nodes(parts) {
  return parts.flatMap((part) => (typeof part === "string" ? linked(part) : h(part.tag, {}, part.tag === "code" ? part.children : nodes(part.children))));
}

/** A text with its addresses as links; who follows one takes nothing along. */
function linked(text) {
  const found = [];
  let from = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const address = match.replace(TRAILING, "");
    if (!URL.canParse(address)) continue;
    found.push(text.slice(from, index), h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, h("bdi", {}, upright(address))));
    from = index + address.length;
  }
  return [...found, text.slice(from)].filter((part) => part !== "");
}

/** A paragraph, of which a very long one shows its beginning and a button. */
export function paragraph(text, { open = false, id = "" } = {}) {
  const isLong = text.length > SHOWN * 1.2;
  return [
    h("p", { class: "body", dir: "auto" }, rich(isLong && !open ? `${[...text.slice(0, SHOWN)].join("")}…` : text)),
    isLong ? h("button", { class: "button text flush", type: "button", "data-action": "unfold", "data-message": id }, open ? "Show less" : "Show all") : null,
  ];
}

export const hasLink = (text) => text.search(ADDRESS) >= 0;

/** Whether a text has marks, so that it looks otherwise than it is written. */
export function hasMarks(text) {
  return parse(text).some((part) => typeof part !== "string");
}
