// The thread: what is loaded of it as lines, which stay where they are while others come above and below.

import { announce } from "../shared/announce.js";
import { h, icon, oneTabStop, show, showList, walkable } from "../shared/dom.js";
import { plural, upright } from "../shared/words.js";
import { dayName, kindOf, nameOf } from "../inbox/words.js";
import { fill, healBroken } from "./media.js";
import { line, outgoing } from "./message.js";
import { messagesOf } from "./pages.js";

const NEAR = 700; // px from an end of what is loaded at which more is asked for
const AT_END = 60; // px from the end that count as being there
const TOGETHER = 5 * 60_000; // ms between two messages of the same side that stand together
const HEARD = 200; // characters of a message that are read out
const MOST_HEARD = 3; // messages that are read out one by one

const $ = (id) => document.getElementById(id);
const unfolded = new Set(); // messages that are shown whole
const identities = new WeakMap(); // by message: a number that stands for it as it is
const moments = new WeakMap(); // by message: {at, day}, for to read a date is dear
let identity = 0;
let drawn = { conversation_id: null, token: "" }; // what is on the screen
let heard = new Set(); // messages that were read out, or were there before
let atEnd = true;
let endOf = ""; // how large what is in it and its frame were when it was brought to its end
let marked = null; // the message that was gone to
let want = { older: () => {}, newer: () => {}, seen: () => {} };

/** Listen to the thread, once. `older` and `newer` ask for more, `seen` hears that its end was looked at. */
export function begin(callbacks) {
  want = callbacks;
  const thread = $("thread");
  thread.addEventListener("scroll", onScroll, { passive: true });
  walkable($("lines"), ".balloon", () => oneTabStop($("lines"), ".balloon"));
  $("lines").addEventListener("focusin", ({ target }) => showTools(target.closest(".line")));
  $("lines").addEventListener("pointerover", ({ target, pointerType }) => pointerType === "mouse" && showTools(target.closest(".line")));
  healBroken($("lines"));
  new ResizeObserver(() => atEnd && toEnd()).observe(thread);
}

export function forgetThread() {
  unfolded.clear();
  heard = new Set();
  drawn = { conversation_id: null, token: "" };
  marked = null;
  hideTools();
  for (const id of ["lines", "thread-start", "to-end"]) $(id).replaceChildren();
  $("thread").hidden = true;
}

export function unfold(id) {
  unfolded.delete(id) || unfolded.add(id);
}

export const isAtEnd = () => atEnd;

/** Draw what is known. `given` has the state, the conversation, what is on its way, and how to find a template. */
export function drawThread({ state, conversation, entries, template, now = Date.now() }) {
  const { threadState, thread } = state;
  const isReady = threadState === "ready" && thread && conversation;
  show($("thread-state"), isReady ? null : other(threadState));
  if (!isReady) {
    if (drawn.conversation_id !== null) forgetThread();
    return;
  }
  const { conversation_id } = conversation;
  const isOther = drawn.conversation_id !== conversation_id;
  if (isOther) forgetThread();
  $("thread").hidden = false;
  const messages = messagesOf(thread);
  const onTheirWay = thread.atEnd ? entries : [];
  const today = new Date(now).toDateString();
  const token = [messages.map(identityOf).join(","), onTheirWay.map((each) => `${each.key} ${each.state} ${each.waits?.reason}`).join(), state.unreadFrom, state.loadingOlder, state.threadFailed,
    thread.pages[0].next, thread.atEnd, thread.missed, [...unfolded].join(), marked, today, template.version(), nameOf(conversation)].join("|");
  const isSame = token === drawn.token && !state.goTo;
  if (isSame) return;
  drawn = { conversation_id, token };
  const hold = isOther || atEnd ? null : anchor();
  const context = { who: nameOf(conversation), unfolded, template };
  const tools = $("tools");
  const had = tools?.contains(document.activeElement) ? document.activeElement : null;
  tools?.remove(); // a line that is drawn anew has none
  showList($("lines"), items(messages, onTheirWay, state, context, now));
  drawTools(tools);
  had?.focus({ preventScroll: true });
  oneTabStop($("lines"), ".balloon", $("lines").querySelector(".line:last-of-type .balloon"));
  fill($("lines"));
  show($("thread-start"), start(state, thread));
  read(messages, conversation, isOther);
  place({ state, isOther, hold });
  drawEnd(thread);
  requestAnimationFrame(more);
}

function items(messages, onTheirWay, state, context, now) {
  const found = [];
  let day = "";
  let before = null;
  for (const message of messages) {
    const { at, day: on } = momentOf(message);
    if (on !== day) {
      day = on;
      before = null;
      const name = dayName(message.at, now);
      found.push({ key: `day ${on}`, token: name, build: () => h("li", { class: "divider day" }, h("span", {}, name)) });
    }
    if (message.message_id === state.unreadFrom) {
      before = null;
      found.push({ key: "unread", token: "", build: () => h("li", { class: "divider new" }, h("span", {}, "New messages")) });
    }
    const isFirst = !before || before.direction !== message.direction || before.kind !== message.kind || before.sender?.contact_id !== message.sender?.contact_id
      || at - momentOf(before).at > TOGETHER;
    const isTemplate = message.type === "template" ? context.template.version() : "";
    const token = [identityOf(message), isFirst, unfolded.has(message.message_id), isTemplate, message.message_id === marked, context.who].join();
    const build = () => {
      const built = lineOf(message, { ...context, isFirst });
      if (message.message_id === marked) built.classList.add("marked");
      return built;
    };
    found.push({ key: message.message_id, token, build });
    before = message;
  }
  for (const entry of onTheirWay) {
    const token = [entry.key, entry.state, entry.waits?.reason, entry.problem?.message, unfolded.has(entry.key), context.template.version()].join();
    found.push({ key: `out ${entry.key}`, token, build: () => outgoing(entry, context) });
  }
  return found;
}

/** A message that is like none that anybody has seen takes no other along. */
function lineOf(message, context) {
  try {
    return line(message, context);
  } catch (error) {
    console.error(error);
    return h("li", { class: "divider notice", "data-message": message.message_id }, h("span", {}, "A message that this page can't show."));
  }
}

function identityOf(message) {
  if (!identities.has(message)) identities.set(message, ++identity);
  return identities.get(message);
}

function momentOf(message) {
  let found = moments.get(message);
  if (!found) {
    const then = new Date(message.at);
    moments.set(message, (found = { at: then.getTime(), day: then.toDateString() }));
  }
  return found;
}

function other(threadState) {
  switch (threadState) {
    case "loading":
      return h("div", { class: "bones", "aria-hidden": "true", "data-key": "loading" }, h("i", { class: "in" }), h("i", { class: "out" }), h("i", { class: "in" }), h("i", { class: "out" }));
    case "failed":
      return h("div", { class: "empty", role: "alert", "data-key": "failed" }, h("h2", {}, "This conversation can't be shown right now"), h("button", { class: "button quiet", type: "button", "data-action": "retry-thread" }, "Try again"));
    case "elsewhere":
      return h("div", { class: "empty", role: "alert", "data-key": "elsewhere" }, h("h2", {}, "Others have this conversation now"), h("p", { class: "muted" }, "You see those of your teams, those that you have, and those that nobody has."));
    case "gone":
      return h("div", { class: "empty", role: "alert", "data-key": "gone" }, h("h2", {}, "This conversation is not here any more"), h("p", { class: "muted" }, "Its time was over, or the person was forgotten."));
    default:
      return h("div", { class: "empty", "data-key": "none" }, icon("chat", "large"), h("h2", {}, "Choose a conversation"), h("p", { class: "muted" }, "The arrow keys walk through the list, ", h("kbd", {}, "?"), " shows every key."));
  }
}

function start({ loadingOlder, threadFailed }, thread) {
  if (threadFailed === "Older") return h("button", { class: "button quiet small", type: "button", "data-action": "load-older" }, "Older messages can't be shown. Try again");
  if (loadingOlder) return h("p", { class: "fine" }, "Older messages are coming…");
  if (thread.pages[0].next) return h("button", { class: "button text small", type: "button", "data-action": "load-older" }, "Load older messages");
  return h("p", { class: "fine" }, "This is the beginning of what is kept.");
}

function drawEnd(thread) {
  const isAway = !atEnd || !thread.atEnd;
  show($("to-end"), isAway ? h("button", { class: "jump", type: "button", "data-action": "to-end" }, icon("down"), thread.missed ? `${plural(thread.missed, "new message")}` : h("span", { class: "unseen" }, "Go to the newest message")) : null);
}

/* ---- where it is ---- */

/** Something on the screen that has to stay where it is. */
function anchor() {
  const frame = $("thread").getBoundingClientRect();
  for (const element of $("lines").children) {
    const { top, bottom } = element.getBoundingClientRect();
    if (bottom > frame.top + 1) return { element, top };
  }
  return null;
}

/** The message that somebody reads who has scrolled up; null at the end. */
export function readMessage() {
  if (atEnd || $("thread").hidden) return null;
  const { top } = $("thread").getBoundingClientRect();
  return [...$("lines").children].find((each) => each.dataset.message && each.getBoundingClientRect().bottom > top + 1)?.dataset.message ?? null;
}

function place({ state, isOther, hold }) {
  const thread = $("thread");
  if (state.goTo) {
    marked = state.goTo;
    const target = $("lines").querySelector(`[data-message="${CSS.escape(state.goTo)}"]`);
    target?.classList.add("marked");
    target?.scrollIntoView({ block: "center" });
    target?.querySelector(".balloon")?.focus({ preventScroll: true });
    state.goTo = null;
    atEnd = isThere();
    return;
  }
  if (isOther) {
    const unread = $("lines").querySelector(".divider.new");
    if (unread && thread.scrollHeight - (unread.offsetTop - thread.offsetTop) > thread.clientHeight) unread.scrollIntoView({ block: "start" });
    else toEnd();
    atEnd = isThere();
    return;
  }
  if (atEnd && state.thread.atEnd) return toEnd();
  if (hold?.element.isConnected) thread.scrollTop += hold.element.getBoundingClientRect().top - hold.top;
}

export function toEnd() {
  const thread = $("thread");
  thread.scrollTop = thread.scrollHeight;
  atEnd = true;
  endOf = sizes();
}

const sizes = () => `${$("thread").scrollHeight} ${$("thread").clientHeight}`;

function isThere() {
  const { scrollTop, scrollHeight, clientHeight } = $("thread");
  return scrollHeight - scrollTop - clientHeight < AT_END;
}

let scrolled = false;

function onScroll() {
  if (scrolled) return;
  scrolled = true;
  requestAnimationFrame(() => {
    scrolled = false;
    const was = atEnd;
    // Where the frame has become smaller since, its end has moved away, and not whoever looks at it.
    if (atEnd && sizes() !== endOf) toEnd();
    else atEnd = isThere();
    if (was !== atEnd) want.seen();
    more();
  });
}

function more() {
  const { scrollTop, scrollHeight, clientHeight } = $("thread");
  if ($("thread").hidden || !clientHeight) return;
  if (scrollTop < NEAR) want.older();
  if (scrollHeight - scrollTop - clientHeight < NEAR) want.newer();
}

/* ---- what is read out ---- */

function read(messages, conversation, isOther) {
  const fresh = messages.filter(({ message_id }) => !heard.has(message_id));
  const newest = messages.findLastIndex(({ message_id }) => heard.has(message_id));
  heard = new Set(messages.map(({ message_id }) => message_id));
  if (isOther || newest < 0) return;
  // What is above the newest that was known has been loaded, and has not come.
  const came = fresh.filter((message) => message.direction === "in" && messages.indexOf(message) > newest);
  if (came.length > MOST_HEARD) return announce(`${plural(came.length, "new message")} from ${nameOf(conversation)}.`, "thread");
  for (const message of came) {
    const words = upright(message.text ?? "").slice(0, HEARD) || kindOf(message.type);
    announce(`${message.sender?.name ? upright(message.sender.name) : nameOf(conversation)}: ${words}${/[\p{L}\p{N}]$/u.test(words) ? "." : ""}`, message.message_id);
  }
}

/* ---- what can be done with a message ---- */

const EMOJI = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
let toolsOf = null;

function showTools(element) {
  if (!element || element.dataset.message === toolsOf || !element.dataset.message) return;
  letReach(lineOfTools(), "-1");
  toolsOf = element.dataset.message;
  drawTools();
}

export function hideTools() {
  toolsOf = null;
  $("tools")?.remove();
}

const lineOfTools = () => toolsOf && $("lines").querySelector(`.line[data-message="${CSS.escape(toolsOf)}"]`);

/** Only of the message that somebody is on, what is in it is a stop for Tab: a picture to show large, a quote to go to. */
function letReach(place, tabindex) {
  for (const button of place?.querySelectorAll(":is(.picture, .quote)[tabindex]") ?? []) button.setAttribute("tabindex", tabindex);
}

/** Put the tools to the message that is pointed at; `tools` are those that were there. */
function drawTools(tools = $("tools")) {
  const place = lineOfTools();
  if (!place) return tools?.remove();
  letReach(place, "0");
  if (tools?.dataset.of === toolsOf) return tools.parentNode === place ? undefined : place.append(tools);
  tools?.remove();
  const of = (action, name, label, more = {}) => h("button", { type: "button", "data-action": action, title: label, "aria-label": label, "data-message": toolsOf, ...more }, name);
  place.append(h("div", { id: "tools", role: "toolbar", "aria-label": "Message", "data-key": "tools", "data-of": toolsOf },
    of("reply", icon("reply"), "Reply to it"),
    EMOJI.map((emoji) => of("react", emoji, `React with ${emoji}`, { "data-emoji": emoji })),
    of("copy-message", icon("copy"), "Copy its text")));
}
