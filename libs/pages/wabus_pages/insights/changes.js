// What has changed since as many days before: an arrow, a number, and the words for who can't see either. Pure but for the elements.

import { h, icon } from "../shared/dom.js";
import { number } from "../shared/words.js";
import { costOf } from "./costs.js";
import { fact } from "./parts.js";
import { money, percent, points, share } from "./words.js";

const LARGE = 10; // times as much, from which on nobody reads per cent
const ARROWS = { more: "up", less: "down" };

/** How much more or less something is, as a part of what it was. Nothing is rounded to no change, or to none any more. */
export function byHowMuch(change) {
  const size = Math.abs(change);
  if (size >= LARGE) return `over ${LARGE} times`;
  if (size < 0.01) return "under 1 %";
  return size < 1 && size > 0.99 ? "over 99 %" : `${number(Math.round(size * 100))} %`;
}

/** A count as it has changed: `arrow` and `text` as they are seen, `words` as they are heard. */
export function ofCount({ change, verdict, before }) {
  if (verdict === "new") return plainly("new", "not sent in the days before");
  if (verdict === "too few") return plainly("too few before", `only ${number(before)} before, too few to compare`);
  if (verdict === "no difference shown") return { arrow: "level", text: "as many", words: `as many as before, ${number(before)}` };
  return moved(verdict, `${byHowMuch(change)} ${verdict}`, number(before));
}

/** The same of a rate. By chance alone it changes too: then that is said, and no number. */
export function ofRate({ before, difference, verdict }) {
  if (verdict === "new") return plainly(null, "");
  if (verdict === "too few") return plainly("too few to compare", "too few messages to compare the rates");
  if (verdict === "no difference shown") return { arrow: "level", text: "no clear change", words: `no clear change from before, when it was ${percent(before)}` };
  return moved(verdict, `${points(Math.abs(difference.value)).replace("+", "")} points ${verdict}`, percent(before));
}

/** The same of what was paid in one currency. */
export function ofCost({ currency, before, change, verdict }) {
  if (verdict === "new") return plainly(null, "");
  if (verdict === "not known") return plainly("not compared", "not compared with before, for not every price is known");
  if (verdict === "too few") return plainly("too few before", "too few messages before to compare the costs");
  const was = money(before, currency);
  if (verdict === "no difference shown") return { arrow: "level", text: "as much", words: `as much as before, ${was}` };
  return moved(verdict, change === null ? verdict : `${byHowMuch(change)} ${verdict}`, was); // of nothing there is no part
}

const moved = (verdict, text, was) => ({ arrow: ARROWS[verdict], text, words: `${text} than before, when it was ${was}` });
const plainly = (text, words) => ({ arrow: null, text, words });

/** A change in a line. Better and worse have a colour besides, where that is what it is. */
export function changeLine({ arrow, text, words }, tone = "") {
  if (!text) return null;
  return h("span", { class: `change fine ${arrow ? tone : "muted"}`.trim() }, arrow ? icon(arrow) : null, h("span", { "aria-hidden": "true" }, text), h("span", { class: "unseen" }, words));
}

/** Read more often is better, more seldom worse. */
export const toneOfRate = ({ verdict }) => ({ more: "good", less: "wait" })[verdict] ?? "";

/** What has changed of all templates together, in three numbers. */
export function changed({ total, earlier }) {
  if (!earlier) return null;
  const { changes, costs } = total;
  return h("div", { class: "changed", "data-key": "changed" },
    h("h3", {}, "What has changed"),
    h("p", { class: "muted" }, earlier.sentence),
    changes ? h("dl", { class: "fact-grid" },
      fact("Delivered", number(total.delivered), whole(ofCount(changes.delivered))),
      fact("Read, of the delivered", share(total.read, total.delivered), whole(ofRate(changes.read_rate), toneOfRate(changes.read_rate))),
      (changes.costs ?? []).map((change) => fact(changes.costs.length > 1 ? `Cost in ${change.currency ?? "an unknown currency"}` : "Cost",
        costOf((costs ?? []).filter(({ currency }) => currency === change.currency))?.text ?? "–", whole(ofCost(change))))) : null);
}

/** A change with all its words to be seen, where there is room for them. */
function whole({ arrow, words }, tone = "") {
  if (!words) return null;
  return h("span", { class: `change ${arrow ? tone : "muted"}`.trim() }, arrow ? icon(arrow) : null, h("span", {}, words));
}
