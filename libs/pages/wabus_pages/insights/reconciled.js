// Our own count beside what Meta itself says that messages cost, and why the two differ.

import { h } from "../shared/dom.js";
import { ago } from "../shared/time.js";
import { named, number, plain, plural } from "../shared/words.js";
import { scrolled } from "./chart.js";
import { fact, section } from "./parts.js";
import { amountOf, country, dayOf, longDay, micros, money, sum } from "./words.js";

const SHOWN = 20; // differences of an account
const ANSWERED = "agrees";

/** What both say of an account together, and its differences, the largest amounts first. Pure. */
export function compared({ days }) {
  const told = days.filter(({ meta_amount }) => meta_amount !== null);
  const ours = sum(told.map(({ amount }) => amount));
  const metas = sum(told.map(({ meta_amount }) => meta_amount));
  const size = ({ difference, volume, meta_volume }) => [difference === null ? 0n : abs(micros(difference)), BigInt(Math.abs(meta_volume - volume))];
  const differing = days.filter(({ explained_by }) => explained_by !== ANSWERED);
  const larger = (one, other) => {
    const [[a, b], [c, d]] = [size(one), size(other)];
    return a === c ? (b === d ? (one.day < other.day ? 1 : -1) : b < d ? 1 : -1) : a < c ? 1 : -1;
  };
  return { ours, metas, difference: amountOf(micros(metas) - micros(ours)), toldAmounts: told.length > 0, differing: differing.sort(larger) };
}

const abs = (value) => (value < 0n ? -value : value);

/** The section of the view of costs. */
export function reconciledSection({ reconciliation, accounts }) {
  return section({
    key: "reconciled",
    title: "Beside Meta's own numbers",
    of: [reconciliation],
    content: () => {
      const found = reconciliation.data.accounts;
      if (!found.length) return h("p", { class: "empty muted" }, "No account is connected.");
      return [
        h("p", { class: "fine" }, "The last 30 days, by what Meta told each account when it was asked. Meta calls its amounts approximate; its invoice is what you pay."),
        found.map((one) => ofAccount(one, accounts.get(one.waba_id) ?? one.waba_id)),
      ];
    },
  });
}

function ofAccount(one, name) {
  const { waba_id, currency, read_at, error, amounts_told, days } = one;
  const { ours, metas, difference, toldAmounts, differing } = compared(one);
  return h("div", { class: "currency", "data-key": `reconciled ${waba_id}` },
    h("h3", {}, named(name)),
    h("p", { class: "muted" }, read_at ? ["Meta was asked ", ago(Date.parse(read_at)), "."] : "Meta was not asked yet.", error ? ` Since then it could not be asked (${plain(error)}).` : ""),
    amounts_told ? null : h("p", { class: "muted" }, "Meta tells no amounts for this account: only the messages are compared."),
    toldAmounts ? h("dl", { class: "fact-grid" }, fact("Our count", money(ours, currency)), fact("Meta's", money(metas, currency)), fact("Meta's less ours", money(difference, currency))) : null,
    !days.length ? null : differing.length
      ? [h("p", {}, `Of ${plural(days.length, "part")} of a day, each a country, a category and a kind of price, ${number(differing.length)} ${differing.length === 1 ? "differs" : "differ"}${differing.length > SHOWN ? `; the ${SHOWN} largest:` : ":"}`),
        scrolled(`Differences of ${name}`, table(differing.slice(0, SHOWN), currency))]
      : h("p", {}, `From ${longDay(days[0].day)} on both say the same, in each of ${plural(days.length, "part")}.`));
}

function table(rows, currency) {
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Day"), h("th", { scope: "col" }, "Of what"), h("th", { scope: "col", class: "figure-cell" }, "Our count"),
      h("th", { scope: "col", class: "figure-cell" }, "Meta's"), h("th", { scope: "col" }, "Why"))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-key": `${row.day} ${row.country} ${row.category} ${row.pricing_type}` },
      h("th", { scope: "row" }, dayOf(row.day)), h("td", { class: "what" }, [row.country ? country(row.country) : "country not known", plain(row.category), plain(row.pricing_type)].filter(Boolean).join(", ")),
      cell(row.amount, row.volume, currency), cell(row.meta_amount, row.meta_volume, currency), h("td", { class: "prose" }, row.explanation)))));
}

const cell = (amount, volume, currency) => h("td", { class: "figure-cell" }, amount === null ? "–" : money(amount, currency), h("span", { class: "muted fine" }, ` ${plural(volume, "message")}`));
