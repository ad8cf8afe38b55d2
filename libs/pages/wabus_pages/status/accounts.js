// The connected accounts: few are open, of more each is a row that opens, those that need somebody first.

import { h, icon } from "../shared/dom.js";
import { relative } from "../shared/time.js";
import { named, number, plural, upright } from "../shared/words.js";
import { accountBody } from "./account.js";
import { failure } from "./controls.js";
import { isPartial, webhookOf } from "./verdict.js";
import { OVERALL, PARTIAL } from "./words.js";

const ROWS_FROM = 3; // accounts, from which on each is a row

export const areRows = (accounts) => accounts.length >= ROWS_FROM;

/** The section of all accounts; `opened` holds the ids of the rows that are open. */
export function accountList(state, accounts, { isAdmin, opened }) {
  if (!accounts.length) return [];
  const rows = areRows(accounts);
  return [
    rows ? h("h2", { class: "list-title", "data-key": "title" }, plural(accounts.length, "account")) : null,
    h("div", { class: rows ? "rows card" : "cards-list", "data-key": rows ? "rows" : "cards" },
      accounts.map((account) => (rows ? row : card)(account, state, isAdmin, opened.has(account.waba_id)))),
    state.welcome || state.setup ? null : another(state),
  ];
}

function another(state) {
  return h("div", { class: "another", "data-key": "another" },
    h("button", { class: "button text", type: "button", "data-action": "connect", "data-button": "another", "aria-disabled": state.leaving ? "true" : null },
      state.leaving === "another" ? [icon("pending", "spin"), "Opening Meta…"] : "Connect another account"),
    failure(state, "connect another"));
}

function card(account, state, isAdmin) {
  const { waba_id, name } = account;
  return h("section", { class: "card account", id: `account-${waba_id}`, "data-key": waba_id, "data-waba": waba_id, "aria-label": upright(name) },
    h("div", { class: "section-head" },
      h("span", { class: "avatar", "aria-hidden": "true" }, initials(name)),
      h("div", { class: "grow" }, h("h2", { class: "name" }, named(name)), h("p", { class: "fine" }, "Account ", h("span", { class: "id" }, waba_id))),
      isAdmin ? disconnectButton(account) : null),
    failure(state, `disconnect ${waba_id}`),
    accountBody(account, state, isAdmin));
}

function row(account, state, isAdmin, isOpen) {
  const { waba_id, name, status, sync } = account;
  const look = status === "failing" && isPartial(account) ? PARTIAL : (OVERALL[status] ?? OVERALL.pending);
  const delivery = webhookOf(account);
  const [first, ...others] = account.phones;
  return h("section", { class: `account row ${isOpen ? "open" : ""}`, id: `account-${waba_id}`, "data-key": waba_id, "data-waba": waba_id, "aria-label": upright(name) },
    h("h3", {},
      h("button", { class: "row-head", type: "button", "data-action": "toggle-account", "data-waba": waba_id, "aria-expanded": String(isOpen), "aria-controls": `body-${waba_id}` },
        h("span", { class: `mark-dot ${look.kind}`, "aria-hidden": "true" }, icon(look.glyph)),
        h("span", { class: "who" }, named(name, { class: "name" }),
          h("span", { class: "fine" }, first ? h("span", { dir: "ltr" }, first.display_phone_number) : "no number", others.length ? ` and ${number(others.length)} more` : null)),
        h("span", { class: `col status-col ${look.kind}` }, look.text),
        h("span", { class: `col delivery-col ${delivery.kind}` }, h("span", { class: "unseen" }, "Message delivery: "), delivery.text),
        h("span", { class: "col" }, `${number(sync.approved)} of ${number(sync.total)}`, h("span", { class: "fine" }, " approved")),
        h("span", { class: "col fine when-col" }, sync.status === "syncing" ? "syncing…" : sync.last_sync_at ? `compared ${relative(new Date(sync.last_sync_at).getTime(), Date.now())}` : "not compared yet"),
        icon("chevron"))),
    h("div", { class: "row-body", id: `body-${waba_id}`, hidden: !isOpen },
      isOpen ? [
        accountBody(account, state, isAdmin),
        isAdmin ? h("div", { class: "row-foot" }, disconnectButton(account), failure(state, `disconnect ${waba_id}`)) : null,
      ] : null));
}

function disconnectButton({ waba_id, name }) {
  return h("button", { class: "button text", type: "button", "data-action": "disconnect", "data-waba": waba_id, "data-key": `disconnect ${waba_id}` }, "Disconnect", h("span", { class: "unseen" }, " ", named(name)));
}

function initials(name) {
  return (name.match(/[\p{L}\p{N}]+/gu) ?? []).slice(0, 2).map((word) => [...word][0]).join("").toUpperCase();
}
