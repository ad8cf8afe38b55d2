// The list: as many rows as can be seen, however many there are, and none that moves away from under the pointer.

import { h, icon, oneTabStop, show, showList } from "../shared/dom.js";
import { named, plural, upright } from "../shared/words.js";
import { tick } from "../conversation/message.js";
import { frozen, listed } from "./order.js";
import { SOON, initials, lastWords, left, nameOf, phoneNumber, shortTime, windowAt } from "./words.js";

const AROUND = 8; // rows drawn above and below what can be seen
const NEAR = 25; // rows from the end at which more are asked for
const NAMES = 20; // conversations found by their names
const ROW = 4.5; // rem

const $ = (id) => document.getElementById(id);
const identities = new WeakMap();
let identity = 0;
let shown = []; // the ids in the order in which they are on the screen
let listOf = ""; // what the order is of
let pointed = false; // whether somebody points at the list
let row = 0; // px
let newest = null; // what is drawn, for who scrolls
let want = { more: () => {}, redraw: () => {} };

export function begin(callbacks) {
  want = callbacks;
  const list = $("list");
  list.addEventListener("scroll", onScroll, { passive: true });
  list.addEventListener("pointermove", ({ pointerType }) => (pointed ||= pointerType === "mouse"));
  list.addEventListener("pointerleave", () => pointed && ((pointed = false), want.redraw()));
  list.addEventListener("focusout", ({ relatedTarget }) => list.contains(relatedTarget) || queueMicrotask(want.redraw));
  $("rows").addEventListener("keydown", onKey);
  new ResizeObserver(() => newest && drawRows()).observe(list);
}

export function forgetList() {
  shown = [];
  listOf = "";
  newest = null;
  for (const id of ["rows", "found", "list-state", "list-new"]) $(id).replaceChildren();
  $("rows").style.removeProperty("height");
}

/** Draw the list, or what was found. */
export function drawList(state, { numbers, draftOf, now = Date.now() }) {
  const { filter, selected, search } = state;
  const ids = listed(state.conversations.values(), filter, { end: state.end, kept: selected, now }).map(({ conversation_id }) => conversation_id);
  const of = JSON.stringify(filter);
  const isHeld = of === listOf && shown.length > 0 && (pointed || $("list").contains(document.activeElement) || $("list").scrollTop > rowHeight() / 2);
  const order = isHeld ? frozen(shown, ids) : { shown: ids, waiting: 0 };
  if (of !== listOf) $("list").scrollTop = 0;
  [shown, listOf] = [order.shown, of];
  newest = { state, numbers, draftOf, now };
  $("rows").hidden = search !== null;
  $("found").hidden = search === null;
  show($("list-new"), order.waiting && !search ? h("button", { class: "jump", type: "button", "data-action": "list-to-top" }, icon("up"), `News in ${plural(order.waiting, "conversation")}`) : null);
  if (search) drawFound(state, numbers, now);
  else drawRows();
  show($("list-state"), search ? foundState(search) : listState(state));
}

/** Show what is newest, at the top. */
export function toTop() {
  shown = [];
  pointed = false;
  $("list").scrollTop = 0;
  document.activeElement?.blur?.();
  want.redraw();
}

/** The conversation before or after another one; the first where that is none of the list. */
export function neighbour(conversation_id, step) {
  const at = shown.indexOf(conversation_id);
  return at < 0 ? (shown[0] ?? null) : (shown[at + step] ?? null);
}

/** Have the row of a conversation on the screen, with the focus. */
export function focusRow(conversation_id) {
  const at = shown.indexOf(conversation_id);
  if (at < 0) return focusList();
  scrollTo(at);
  drawRows(at);
  rowOf(conversation_id)?.focus({ preventScroll: true });
}

export function focusList() {
  ($("rows").querySelector("a.row[tabindex='0']") ?? $("found").querySelector("a") ?? $("search")).focus();
}

function rowHeight() {
  return (row ||= ROW * parseFloat(getComputedStyle(document.documentElement).fontSize));
}

const rowOf = (conversation_id) => $("rows").querySelector(`a.row[data-conversation="${CSS.escape(conversation_id)}"]`);

function scrollTo(at) {
  const list = $("list");
  const height = rowHeight();
  if (at * height < list.scrollTop) list.scrollTop = at * height;
  else if ((at + 1) * height > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * height - list.clientHeight;
}

let scrolled = false;

function onScroll() {
  if (scrolled) return;
  scrolled = true;
  requestAnimationFrame(() => {
    scrolled = false;
    if (!newest) return;
    if ($("list").scrollTop < 1 && $("list-new").firstChild) want.redraw();
    drawRows();
  });
}

function drawRows(also = -1) {
  const { state, numbers, draftOf, now } = newest;
  const height = rowHeight();
  const { scrollTop, clientHeight } = $("list");
  const from = Math.max(0, Math.floor(scrollTop / height) - AROUND);
  const to = Math.min(shown.length, Math.ceil((scrollTop + clientHeight) / height) + AROUND);
  const focused = shown.indexOf(document.activeElement?.dataset?.conversation);
  const places = new Set();
  for (let at = from; at < to; at += 1) places.add(at);
  for (const at of [focused, also]) if (at >= 0) places.add(at);
  // Between two drawings one may have gone that the order still has.
  const visible = [...places].sort((one, other) => one - other).filter((at) => state.conversations.has(shown[at]));
  showList($("rows"), visible.map((at) => {
    const conversation = state.conversations.get(shown[at]);
    const isCurrent = shown[at] === state.selected;
    const draft = isCurrent ? "" : draftOf(shown[at]);
    const context = { isCurrent, draft, now, me: state.filter.me, number: numbers.size > 1 ? numbers.get(conversation.phone_number_id) : null };
    const token = [identityOf(conversation), isCurrent, draft, at, shown.length, shortTime(conversation.sorted_at, now), windowText(conversation, now)?.text, context.number?.display_phone_number].join("|");
    return { key: shown[at], token, build: () => item(conversation, at, context) };
  }));
  visible.forEach((at, index) => $("rows").children[index].style.setProperty("transform", `translateY(${at * height}px)`));
  $("rows").style.setProperty("height", `${shown.length * height}px`);
  oneTabStop($("rows"), "a.row", $("rows").querySelector("[aria-current=true]"));
  if (to > shown.length - NEAR) want.more();
}

function identityOf(conversation) {
  if (!identities.has(conversation)) identities.set(conversation, ++identity);
  return identities.get(conversation);
}

function item(conversation, at, { isCurrent, draft, now, me, number }) {
  const name = nameOf(conversation);
  const { last_message: last, unread, conversation_id } = conversation;
  const { prefix, text } = lastWords(last);
  const window = windowText(conversation, now);
  return h("li", { class: "row-item", "aria-setsize": shown.length, "aria-posinset": at + 1 },
    h("a", { class: `row${unread ? " unread" : ""}`, href: `/inbox?c=${conversation_id}`, "data-action": "open", "data-conversation": conversation_id, "aria-current": isCurrent ? "true" : null },
      h("span", { class: "avatar", "aria-hidden": "true" }, conversation.contact ? initials(name) : icon("people")),
      h("span", { class: "row-main" },
        h("span", { class: "row-line" }, named(name, { class: "row-name one-line" }), holder(conversation, me), h("time", { class: "row-time", datetime: conversation.sorted_at }, shortTime(conversation.sorted_at, now))),
        h("span", { class: "row-line" },
          h("span", { class: "row-words one-line" }, draft ? [h("span", { class: "draft" }, "Draft: "), h("bdi", {}, upright(draft).slice(0, 200))]
            : [last?.direction === "out" ? [tick(last.state), " "] : null, h("span", { class: "unseen" }, prefix), h("bdi", {}, text)]),
          number ? h("bdi", { class: "row-number fine", title: number.verified_name ?? "" }, (number.display_phone_number ?? "").slice(-5)) : null,
          window ? h("span", { class: `row-window ${window.kind}`, title: window.title }, h("span", { class: "unseen" }, window.spoken), h("span", { "aria-hidden": "true" }, window.text)) : null,
          unread ? h("span", { class: "row-unread" }, unread > 99 ? "99+" : String(unread), h("span", { class: "unseen" }, " unread")) : null))));
}

/** Who has a conversation, if anybody does. */
function holder({ work }, me) {
  const { agent, bot, team } = work ?? {};
  const who = agent ? (agent === me ? "You" : upright(agent)) : bot ? upright(bot) : team ? "A team" : null;
  return who ? h("span", { class: `row-holder one-line${agent && agent === me ? " mine" : ""}`, title: `${who} ${who === "You" ? "have" : "has"} it` }, h("span", { class: "unseen" }, "with "), h("bdi", {}, who)) : null;
}

function windowText(conversation, now) {
  const { state, left: ms } = windowAt(conversation, now);
  if (state === "closed") return { kind: "closed", text: "Closed", title: "Templates only", spoken: "templates only" };
  if (state !== "open" || ms === null) return null;
  return { kind: ms <= SOON ? "closing" : "open", text: left(ms), title: "Time left to answer", spoken: `${left(ms)} left to answer` };
}

function listState({ list, loadingMore, conversations, filter, next }) {
  if (list === "forbidden") {
    return h("div", { class: "empty", role: "alert", "data-key": "forbidden" }, icon("shield", "large"), h("h2", {}, "You may not read conversations"), h("p", { class: "muted" }, "They are for people who answer customers: ask an administrator of your organisation for the role “agent”."));
  }
  if (list === "failed") {
    return h("div", { class: "empty", role: "alert", "data-key": "failed" }, h("h2", {}, "Conversations can't be shown right now"), h("button", { class: "button quiet", type: "button", "data-action": "retry-list" }, "Try again"));
  }
  if (list === "loading" && !shown.length) return h("div", { class: "bones rows-bones", "aria-hidden": "true", "data-key": "loading" }, Array.from({ length: 7 }, () => h("i")));
  if (loadingMore) return h("p", { class: "fine centred", "data-key": "more" }, "More are coming…");
  if (shown.length) return next ? null : h("p", { class: "fine centred", "data-key": "end" }, plural(shown.length, "conversation"));
  const words = {
    unread: ["Nothing is unread", "Whoever writes next shows here by themselves."],
    closing: ["No window closes soon", "Here is who has to be answered within two hours, the most urgent first."],
    closed: ["No window is closed", "Here is who can be sent templates only."],
    mine: ["You have none", "Take one, and it shows here."],
    unassigned: ["Everybody is looked after", "Here is what nobody has."],
    snoozed: ["Nothing is put off", "Here is what comes back later by itself."],
    done: ["Nothing is closed", "Here is what is done, until the person writes again."],
  }[filter.show];
  const [title, text] = words ?? (conversations.size && filter.number ? ["Nobody has written to this number", "Choose another one, or all."] : ["Nobody has written yet", "When somebody writes to your number, it shows here by itself."]);
  return h("div", { class: "empty", "data-key": "empty" }, icon("chat", "large"), h("h2", {}, title), h("p", { class: "muted" }, text));
}

/* ---- what was looked for ---- */

function drawFound(state, numbers, now) {
  const { q, people, messages } = state.search;
  const words = q.toLowerCase();
  const digits = q.replace(/\D/g, "");
  const named_ = [...state.conversations.values()].filter((each) => people.includes(each.conversation_id) || nameOf(each).toLowerCase().includes(words) || (digits.length > 3 && each.contact?.numbers.some((number) => number.includes(digits))))
    .sort((one, other) => other.sorted - one.sorted).slice(0, NAMES);
  const items = [
    ...(named_.length ? [title("people", "Conversations")] : []),
    ...named_.map((each) => found(`c ${each.conversation_id}`, each, { text: phoneNumber(each.contact?.numbers[0]) || lastWords(each.last_message).text, at: each.sorted_at }, "", state, now)),
    ...(messages.length ? [title("messages", "Messages")] : []),
    ...messages.flatMap((each) => {
      const conversation = state.conversations.get(each.conversation_id);
      return conversation ? [found(`m ${each.message_id}`, conversation, { text: excerpt(each.text ?? "", words), at: each.at, isOut: each.direction === "out" }, each.message_id, state, now)] : [];
    }),
  ];
  showList($("found"), items);
}

function title(key, text) {
  return { key: `title ${key}`, token: text, build: () => h("li", { class: "label found-title" }, text) };
}

function found(key, conversation, { text, at, isOut = false }, message_id, state, now) {
  const { conversation_id } = conversation;
  const isCurrent = conversation_id === state.selected && !message_id;
  const token = [identityOf(conversation), text, isCurrent, shortTime(at, now)].join("|");
  const name = nameOf(conversation);
  return {
    key, token, build: () => h("li", {}, h("a", { class: "row", href: `/inbox?c=${conversation_id}${message_id ? `&m=${message_id}` : ""}`, "data-action": "open", "data-conversation": conversation_id, "data-message": message_id || null, "aria-current": isCurrent ? "true" : null },
      h("span", { class: "avatar", "aria-hidden": "true" }, conversation.contact ? initials(name) : icon("people")),
      h("span", { class: "row-main" },
        h("span", { class: "row-line" }, named(name, { class: "row-name one-line" }), h("time", { class: "row-time", datetime: at }, shortTime(at, now))),
        h("span", { class: "row-line" }, h("span", { class: "row-words one-line" }, isOut ? "You: " : null, h("bdi", {}, text)))))),
  };
}

/** The part of a text in which a word is. */
function excerpt(text, words) {
  const line = upright(text).replace(/\s+/g, " ");
  const at = line.toLowerCase().indexOf(words.split(/\s+/)[0]);
  return at > 30 ? `…${line.slice(at - 20, at + 150)}` : line.slice(0, 180);
}

function foundState({ status, messages, next }) {
  if (status === "loading") return h("p", { class: "fine centred", "data-key": "looking" }, "Looking…");
  if (status === "off") return h("p", { class: "fine centred", "data-key": "off" }, "Texts can't be searched here: names and numbers are.");
  if (status === "failed") return h("p", { class: "error centred", role: "alert", "data-key": "failed" }, "The search does not work right now.");
  if (!$("found").children.length) return h("div", { class: "empty", "data-key": "none" }, h("h2", {}, "Nothing was found"), h("p", { class: "muted" }, "All of the words have to be in one message."));
  if (!messages.length) return null;
  return h("p", { class: "fine centred", "data-key": "count" }, next ? `The newest ${messages.length} messages` : plural(messages.length, "message"));
}

/* ---- keys ---- */

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const at = shown.indexOf(document.activeElement?.dataset?.conversation);
  if (at < 0) return;
  const page = Math.max(1, Math.floor($("list").clientHeight / rowHeight()) - 1);
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
  if (!step) return;
  event.preventDefault();
  focusRow(shown[Math.max(0, Math.min(shown.length - 1, at + step))]);
}
