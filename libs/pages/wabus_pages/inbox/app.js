// The inbox: signs in, follows what changes, draws what is known, and does what buttons and keys ask.

import * as address from "../shared/address.js";
import { announce, fallSilent } from "../shared/announce.js";
import { Refused, SignedOut, Unreachable } from "../shared/api.js";
import { copy } from "../shared/copy.js";
import { askToReplace, confirmed } from "../shared/dialog.js";
import { focusOn, h, icon, keepingFocus, show } from "../shared/dom.js";
import * as session from "../shared/session.js";
import { clock, showExact } from "../shared/time.js";
import { dismiss, dismissAll, dismissAround, toast } from "../shared/toasts.js";
import { isolated, named, plural } from "../shared/words.js";
import * as composer from "../conversation/composer.js";
import { askLink, forgetMedia, save } from "../conversation/media.js";
import * as outbox from "../conversation/outbox.js";
import { messagesOf, trimmed } from "../conversation/pages.js";
import * as templates from "../conversation/templates.js";
import * as threadView from "../conversation/thread.js";
import { follow } from "./feed.js";
import * as keyboard from "./keys.js";
import * as listView from "./list.js";
import { change, failedWith, filterBy, forgetAll, forgetContact, forgetHealth, loadAnew, loadContact, loadList, loadMore, loadNewer, loadOlder, loadThread, numbers, onChange, onSignedOut, openConversation, searchFor, selected, state, takeChange, takeRemoved, watchHealth, whereRead } from "./store.js";
import { nameOf, windowAt } from "./words.js";

const LIVE = {
  connecting: { kind: "plain", text: "Connecting…" },
  live: { kind: "good", text: "Live" },
  out: { kind: "plain", text: "Not signed in" },
};
const SHOWS = [["all", "All"], ["mine", "Mine"], ["unassigned", "Unassigned"], ["unread", "Unread"]];
const MORE_SHOWS = [["closing", "Window closing soon"], ["closed", "Templates only"], ["snoozed", "Put off"], ["done", "Closed"]];
const CLOCK = 15_000; // ms until times and windows are written anew
const BUSY = 50; // ms between two drawings
const SHARE = 4; // parts of the time that are for whoever types, for each that is for drawing
const READ_AGAIN = 1_000; // ms until it is said again of a conversation that it was read
const TYPED = 250; // ms without a key until what was typed is looked for
const COUNTED = 5_000; // ms between two sentences about what came elsewhere
const UNREACHABLE = "We can't be reached right now. Please try again in a moment.";
const ENDED = "Your session has ended. Paste a new access token to go on.";
const EVERY_PANE = ["list", "thread", "answer", "contact"];

const $ = (id) => document.getElementById(id);
const wide = matchMedia("(min-width: 80rem)");
const narrow = matchMedia("(max-width: 47.99rem)");
let following = null;
let isIn = false;
let toFocus = null; // what gets the focus once it is there, for a person has asked for it
const NOT_TOLD = { conversation_id: null, message_id: null, at: 0, timer: null };
let toldRead = NOT_TOLD; // of the conversation that is shown: what WhatsApp was told last that it was read

async function start() {
  $("late").remove();
  onChange(soon);
  onSignedOut(() => askToSignIn(ENDED));
  whereRead(threadView.readMessage);
  listView.begin({ more: loadMore, redraw: soon });
  threadView.begin({ older: loadOlder, newer: loadNewer, seen: soon });
  composer.begin({ onChange: soon, onSignedOut: () => askToSignIn(ENDED) });
  templates.begin({ onChange: soon, onSignedOut: () => askToSignIn(ENDED) });
  listen();
  setInterval(() => document.hidden || soon(), CLOCK);
  for (;;) {
    try {
      if (!(await session.open(askToReplace))) return askToSignIn();
      return begun();
    } catch {
      change({ live: "lost", lostAt: state.lostAt ?? Date.now() });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

function listen() {
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", soon);
  addEventListener("popstate", () => isIn && route());
  addEventListener("hashchange", () => location.hash.includes("token=") && location.reload());
  addEventListener("pageshow", ({ persisted }) => persisted && following?.tryNow());
  session.onSignedOutElsewhere(() => askToSignIn("You have signed out in another tab. Paste an access token to go on."));
  let typing = null;
  $("text").addEventListener("input", () => others?.writes());
  $("search").addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => searchFor(target.value.trim()), TYPED);
  });
  $("number").addEventListener("change", ({ target }) => showOnly({ number: target.value }));
  $("more-shows").addEventListener("change", ({ target }) => showOnly({ show: target.value }));
  $("thread-head").addEventListener("change", ({ target }) => target.dataset.work && act(target.dataset.work === "assign" ? "assign" : "snooze", { value: target.value, conversation: target.dataset.conversation }));
  $("picture").addEventListener("click", ({ target }) => target === $("picture") && $("picture").close());
  $("picture").addEventListener("close", () => $("picture-image").removeAttribute("src"));
  $("single-keys").addEventListener("change", ({ target }) => keyboard.setSingleKeys(target.checked));
  $("enter-sends").addEventListener("change", ({ target }) => composer.setEnterSends(target.checked));
  $("notify").addEventListener("change", ({ target }) => setNotify(target.checked));
}

/* ---- who is here ---- */

function begun() {
  isIn = true;
  const { orgId: org_id } = session.claims() ?? {};
  keepingFocus(() => {
    $("sign-in").hidden = true;
    change({ live: "connecting" });
    outbox.begin(org_id ?? "", { onChange: soon, onSignedOut: () => askToSignIn(ENDED) });
    route();
  });
  following = follow({
    onAnew: loadAnew,
    onChange: tellOf,
    onRemoved: takeRemoved,
    onLooking: (frame) => (others?.take(frame), soon()),
    onState: (live) => state.live === live || change({ live, lostAt: live === "lost" ? Date.now() : null }),
    onSignedOut: () => askToSignIn(ENDED),
    onNotAllowed: () => change({ list: "forbidden", live: "live" }),
  });
  watchHealth();
}

/** Nothing of anybody stays on the screen: whoever looks at it now may be somebody else. What was typed stays with the tab. */
function askToSignIn(why, { isWrong = false, kept = true } = {}) {
  isIn = false;
  following?.stop();
  following = null;
  session.forget();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("exact").hidePopover();
  $("exact").textContent = "";
  $("search").value = "";
  clearTimeout(toldRead.timer);
  toldRead = NOT_TOLD;
  toFocus = null;
  outbox.end({ kept });
  if (!kept) composer.forgetDrafts();
  work?.forgetWork();
  others?.forgetOthers();
  forgetHealth();
  forgetMedia();
  templates.forgetTemplates();
  listView.forgetList();
  threadView.forgetThread();
  composer.forgetComposer();
  for (const id of ["thread-head", "thread-state", "contact", "filters", "number", "health", "keys-list"]) $(id).replaceChildren();
  fallSilent();
  dismissAll();
  $("sign-in").hidden = false;
  forgetAll();
  if (why) $("sign-in-why").textContent = why;
  $("token").setAttribute("aria-invalid", String(isWrong));
  $("token").focus();
}

async function signIn() {
  session.keep($("token").value);
  $("token").value = "";
  if (session.claims() === null) return askToSignIn("This token is not valid. Check that you copied all of it, and that it has not expired.", { isWrong: true });
  begun();
}

async function signInHere() {
  if (await session.signInHere()) begun();
  else askToSignIn("Nobody is signed in by itself here. Paste an access token.");
}

function signOut() {
  $("sign-in-here").hidden = !session.isLocal();
  session.signOut();
  address.write({ c: null, m: null, pane: null });
  askToSignIn("You are signed out. Paste an access token of your organisation to see its conversations.", { kept: false });
}

/* ---- where in the page ---- */

/** Show what the address says. */
function route() {
  const { c, m, show: shown, number } = address.read(["c", "m", "show", "number"]);
  if (m) address.write({ m: null });
  const isShow = [...SHOWS, ...MORE_SHOWS].some(([name]) => name === shown);
  const filter = { ...state.filter, show: isShow ? shown : "all", number: number ?? "", me: session.claims()?.sub ?? null };
  if (JSON.stringify(filter) !== JSON.stringify(state.filter)) filterBy(filter).catch(broke);
  openConversation(/^[0-9a-f-]{36}$/.test(c ?? "") ? c : null, m ?? null).catch(broke);
  soon();
}

function broke(error) {
  failedWith(error, () => toast("bad", UNREACHABLE));
}

function goTo(parameters, { push = true } = {}) {
  address.write(parameters, { push });
  route();
}

function open(conversation_id, message = null) {
  // From one thread to the next is one step back to the list on a small screen.
  goTo({ c: conversation_id, m: message, pane: null }, { push: state.selected !== conversation_id });
  if (!message) toFocus = "answer";
}

function closeThread() {
  toFocus = { row: state.selected };
  goTo({ c: null, pane: null });
}

const isContactOpen = () => address.read(["pane"]).pane === "contact";

function toggleContact() {
  if (!state.selected) return;
  const isOpen = isContactOpen();
  goTo({ pane: isOpen ? null : "contact" }, { push: narrow.matches && !isOpen });
  if (isOpen) document.querySelector("[data-action=toggle-contact]")?.focus();
  else toFocus = "contact";
}

function showOnly(filter) {
  const next = { ...state.filter, ...filter };
  if (!next.show) next.show = "all";
  address.write({ show: next.show === "all" ? null : next.show, number: next.number });
  filterBy(next).catch(broke);
}

function neighbour(step) {
  const id = listView.neighbour(state.selected, step);
  if (!id) return;
  goTo({ c: id, pane: narrow.matches ? null : address.read(["pane"]).pane }, { push: state.selected === null });
  if (narrow.matches) toFocus = "answer";
  else listView.focusRow(id);
}

/* ---- what buttons and keys do ---- */

const ACTIONS = {
  open: ({ conversation, message }) => open(conversation, message ?? null),
  back: closeThread,
  show: ({ show: shown }) => showOnly({ show: shown }),
  assign: async ({ conversation, value }) => {
    document.activeElement?.blur?.();
    await work.assign(state.conversations.get(conversation), value).finally(soon);
  },
  add: async ({ form, conversation }, element) => {
    const field = element.elements[form];
    const text = field.value.trim();
    if (text && (await (form === "tag" ? work.act(conversation, "tags", { add: [text] }) : work.act(conversation, "notes", { text })))) field.value = "";
  },
  snooze: async ({ conversation, value }) => value && (await work.act(conversation, "snooze", { until: work.moments(new Date())[Number(value)][1].toISOString(), ...upTo() })) && goOn(),
  "close-conversation": async ({ conversation }) => (await work.close(conversation, upTo().message_id)) && goOn(),
  "reopen-conversation": ({ conversation }) => work.act(conversation, "reopen"),
  "undo-close": async ({ conversation, holder }, button) => {
    dismissAround(button);
    await work.reopen(conversation, holder);
    open(conversation);
  },
  "mark-unread": markUnread,
  "remove-tag": ({ conversation, tag }) => work.act(conversation, "tags", { remove: [tag] }),
  "remove-note": ({ conversation, note }) => work.removeNote(conversation, note),
  "list-to-top": () => listView.toTop(),
  "retry-list": loadList,
  "retry-thread": () => loadThread(),
  "retry-contact": loadContact,
  "load-older": loadOlder,
  "to-end": toEnd,
  "go-to": ({ message }) => openConversation(state.selected, message),
  unfold: ({ message }) => (threadView.unfold(message), soon()),
  send: () => sendText(),
  format: ({ mark }) => composer.format(mark),
  reply: ({ message }) => answer(messageOf(message)),
  "cancel-reply": () => (composer.cancelReply(), composer.focusComposer()),
  react: ({ message, emoji }) => react(messageOf(message), emoji),
  "copy-message": ({ message }, button) => copyFrom(button, messageOf(message)?.text ?? ""),
  repeat: ({ message }) => composer.send({ type: "text", text: { body: messageOf(message).text } }),
  "send-again": ({ outgoingKey }) => outbox.again(outgoingKey),
  "remove-outgoing": ({ outgoingKey }) => outbox.remove(outgoingKey),
  "choose-files": () => $("file").click(),
  "remove-file": ({ file }) => composer.removeFile(file),
  "pick-template": () => pickTemplate(),
  "picker-back": () => picker.back(),
  "show-picture": ({ mediumId, name }) => showPicture(mediumId, name),
  "save-medium": async ({ mediumId, name }) => (await save(mediumId, name)) || toast("bad", "It can't be saved right now. Please try again."),
  "toggle-contact": toggleContact,
  "close-contact": toggleContact,
  forget: ({ contact }) => askToForget(contact),
  copy: (_, button) => copyFrom(button),
  time: (_, button) => showExact(button),
  retry: () => following?.tryNow(),
  keys: showKeys,
  "dismiss-toast": ({ id }) => dismiss(id),
  "sign-in-here": signInHere,
  "sign-out": signOut,
};

async function onClick(event) {
  const button = event.target.closest("[data-action]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  if (button.nodeName === "A") {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return; // in a tab of its own
    event.preventDefault();
  }
  await act(button.dataset.action, button.dataset, button);
}

async function act(action, data = {}, button = null) {
  try {
    await ACTIONS[action](data, button);
  } catch (error) {
    if (error instanceof SignedOut) askToSignIn(ENDED);
    else if (error instanceof Refused) toast("bad", error.message);
    else if (error instanceof Unreachable) toast("bad", UNREACHABLE);
    else throw error;
  }
}

function onSubmit(event) {
  event.preventDefault();
  const { form, conversation } = event.target.dataset;
  if (form) return act("add", { form, conversation }, event.target);
  if (event.target.id === "sign-in") return signIn();
  if (event.target.method === "dialog") event.target.closest("dialog").close(event.submitter?.value ?? "");
}

const BY_KEY = {
  next: () => neighbour(1),
  previous: () => neighbour(-1),
  search: () => {
    if (narrow.matches && state.selected) closeThread();
    $("search").select();
  },
  answer: () => composer.focusComposer(),
  quote: () => answer(messageOf(document.activeElement?.closest?.("[data-message]")?.dataset.message) ?? newestFrom()),
  template: () => pickTemplate(),
  unread: () => showOnly({ show: state.filter.show === "unread" ? "all" : "unread" }),
  contact: toggleContact,
  mine: toggleMine,
  done: toggleDone,
  "mark-unread": () => act("mark-unread"),
  end: toEnd,
  keys: showKeys,
  back: stepBack,
  "pane-after": () => nextPane(1),
  "pane-before": () => nextPane(-1),
};

function onKey(event) {
  if (!isIn || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const isWriting = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  const wanted = keyboard.wanted(event, { isWriting, singleKeys: keyboard.hasSingleKeys() });
  if (!wanted || (wanted === "back" && event.isComposing)) return;
  if (BY_KEY[wanted]() !== false) event.preventDefault();
}

/** One step back: what was begun last ends first. Returns false where there is nothing to end. */
function stepBack() {
  if ($("exact").matches(":popover-open")) return $("exact").hidePopover();
  if (composer.cancelReply()) return composer.focusComposer();
  if (state.search) {
    $("search").value = "";
    searchFor("");
    return $("search").focus();
  }
  if (!wide.matches && isContactOpen()) return toggleContact();
  if (state.selected && narrow.matches) return closeThread();
  if (state.selected && !$("list").contains(document.activeElement)) return listView.focusRow(state.selected);
  return false;
}

function nextPane(step) {
  const places = {
    list: () => listView.focusList(),
    thread: () => ($("lines").querySelector(".balloon[tabindex='0']") ?? $("thread")).focus(),
    answer: () => composer.focusComposer(),
    contact: () => focusOn($("contact-name")),
  };
  const elements = { list: $("list-pane"), thread: $("thread"), answer: $("answer"), contact: $("contact-pane") };
  const there = EVERY_PANE.filter((name) => elements[name].checkVisibility() && (name !== "contact" || $("contact-name")));
  const at = there.findIndex((name) => elements[name].contains(document.activeElement));
  if (there.length) places[there[(at + step + there.length) % there.length]]();
}

/** What was before one's eyes: what comes after it is not closed, put off or read. */
function upTo() {
  const newest = state.thread?.atEnd ? messagesOf(state.thread).at(-1) : null;
  return newest ? { message_id: newest.message_id } : {};
}

/** What was done goes on with the next conversation. */
function goOn() {
  const next = listView.neighbour(state.selected, 1) ?? listView.neighbour(state.selected, -1);
  if (narrow.matches || !next) return closeThread();
  goTo({ c: next, pane: address.read(["pane"]).pane }, { push: false });
  toFocus = { row: next };
}

async function markUnread() {
  const conversation = selected();
  if (!conversation?.work) return;
  // Who marks it as unread has not read it by looking at it until it is closed.
  toldRead = { ...toldRead, message_id: newestFrom()?.message_id };
  if (await work.act(conversation.conversation_id, "unread")) closeThread();
}

function toggleMine() {
  const conversation = selected();
  if (!work || !conversation?.work) return;
  const isMine = conversation.work.agent === session.claims()?.sub;
  return act("assign", { conversation: conversation.conversation_id, value: isMine ? "nobody" : "agent me" });
}

function toggleDone() {
  const conversation = selected();
  if (!work || !conversation?.work) return;
  return act(conversation.work.state === "open" ? "close-conversation" : "reopen-conversation", { conversation: conversation.conversation_id });
}

const messageOf = (id) => (state.thread && id ? (messagesOf(state.thread).find(({ message_id }) => message_id === id) ?? null) : null);
const newestFrom = () => (state.thread ? (messagesOf(state.thread).findLast(({ direction, kind }) => direction === "in" && kind === "message") ?? null) : null);

function answer(message) {
  if (message && !composer.replyTo(message)) toast("bad", "This message can't be quoted.");
}

function react(message, emoji) {
  const wamid = message?.content?.id;
  if (typeof wamid !== "string") return toast("bad", "WhatsApp takes no reaction to this message.");
  const isThere = message.reactions.some((each) => each.by === "business" && each.emoji === emoji);
  composer.send({ type: "reaction", reaction: { message_id: wamid, emoji: isThere ? "" : emoji } }, { shown: isThere ? "Takes the reaction back" : `Reacts with ${emoji}` });
}

function sendText() {
  composer.sendText();
  if (state.thread && !state.thread.atEnd) return toEnd();
  threadView.toEnd();
}

async function toEnd() {
  if (state.thread && !state.thread.atEnd) await loadThread();
  draw();
  threadView.toEnd();
  soon();
}

let picker = null; // asked for when somebody wants it

async function pickTemplate() {
  const conversation = selected();
  if (!conversation?.contact) return;
  if (!picker) {
    picker = await import("../conversation/picker.js").catch(() => {
      throw new Unreachable();
    });
    picker.begin({ onSend: (content, shown) => (composer.send(content, { shown }), threadView.toEnd()), onSignedOut: () => askToSignIn(ENDED) });
  }
  if (state.selected === conversation.conversation_id) await picker.open(conversation);
}

async function showPicture(media_id, name) {
  const link = await askLink(media_id); // what is shown in the thread may be there for longer than its address is good
  if (!link) return toast("bad", "It can't be shown right now. Please try again.");
  $("picture-image").src = link;
  $("picture-image").alt = name;
  Object.assign($("picture-save").dataset, { mediumId: media_id, name });
  $("picture").showModal();
}

async function askToForget(contact_id) {
  const conversation = selected();
  const name = nameOf(conversation);
  const what = ["Everything of ", named(name), " is deleted here for good: messages, media, names and numbers, in every conversation with you. What is on their phone stays. Who writes again is somebody new."];
  if (!(await confirmed("confirm", what))) return;
  announce(`${isolated(name)} is being forgotten.`);
  const isGone = await forgetContact(contact_id);
  toast("good", named(name), isGone ? " is forgotten." : " is being forgotten: it takes a moment.");
  if (isGone) goTo({ c: null, pane: null }, { push: false });
  listView.focusList();
}

async function copyFrom(button, text) {
  if (text !== undefined) button.dataset.text = text;
  if (!(await copy(button))) toast("bad", "This browser does not let the page copy. Select the text and copy it yourself.");
}

function showKeys() {
  show($("keys-list"), keyboard.keys().map(({ keys, also = [], text }) => h("div", {}, h("dt", {}, [...keys, ...also].map((key) => h("kbd", {}, key))), h("dd", {}, text))));
  $("single-keys").checked = keyboard.hasSingleKeys();
  $("enter-sends").checked = composer.enterSends();
  $("notify").checked = mayNotify();
  $("notify-why").textContent = "";
  $("keys").showModal();
}

/* ---- what is told ---- */

const NOTIFY = "wabus.inbox.notify";
const mayNotify = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(NOTIFY) === "yes";

async function setNotify(does) {
  if (does && "Notification" in window) await Notification.requestPermission();
  localStorage.setItem(NOTIFY, does ? "yes" : "no");
  $("notify").checked = does && mayNotify();
  $("notify-why").textContent = does && !mayNotify() ? "This browser does not let the page do that: allow notifications for it in the browser's settings." : "";
}

let elsewhere = { count: 0, conversations: new Set(), timer: null };

function tellOf(frame) {
  const came = takeChange(frame);
  const { conversation } = frame;
  if (!came) return;
  if (document.hidden && mayNotify()) {
    // Who wrote and nothing of what: a notification stays on a screen that others see.
    const notification = new Notification(nameOf(conversation), { body: plural(conversation.unread, "unread message"), tag: conversation.conversation_id });
    notification.onclick = () => (window.focus(), open(conversation.conversation_id), notification.close());
  }
  if (conversation.conversation_id === state.selected) return;
  elsewhere.count += came;
  elsewhere.conversations.add(conversation.conversation_id);
  elsewhere.timer ??= setTimeout(() => {
    const { count, conversations } = elsewhere;
    elsewhere = { count: 0, conversations: new Set(), timer: null };
    if (isIn) announce(`${plural(count, "new message")} in ${conversations.size === 1 ? "another conversation" : `${conversations.size} other conversations`}.`, "elsewhere");
  }, COUNTED);
}

/**
 * Whoever has the end of a thread before their eyes has read it: WhatsApp shows that to the person. Of what comes one
 * after the other it is said together.
 */
function lookAt(conversation) {
  const { conversation_id } = conversation ?? NOT_TOLD;
  if (conversation_id !== toldRead.conversation_id) {
    clearTimeout(toldRead.timer);
    toldRead = { ...NOT_TOLD, conversation_id };
  }
  if (document.hidden || !conversation?.unread || state.threadState !== "ready" || !state.thread.atEnd || !threadView.isAtEnd()) return;
  if (conversation.work && !work) return; // it is drawn again when that is there
  const message_id = newestFrom()?.message_id;
  if (toldRead.message_id === message_id) return;
  const wait = toldRead.message_id ? toldRead.at + READ_AGAIN - performance.now() : 0;
  clearTimeout(toldRead.timer);
  if (wait > 0) return void (toldRead.timer = setTimeout(soon, wait));
  toldRead = { conversation_id, message_id, at: performance.now(), timer: null };
  composer.tellRead(conversation);
  if (conversation.work) work.act(conversation.conversation_id, "read", upTo()).catch(broke);
}

/* ---- drawing ---- */

let work = null; // what is for conversations that are worked on: asked for with the first of them
let others = null; // who else is there
let contact = null; // who it is with
const asked = new Set();

/** Ask for a module with the first thing that it is for. */
function need(name, load, take) {
  if (asked.has(name)) return;
  asked.add(name);
  load().then((found) => (take(found), soon()), () => setTimeout(() => (asked.delete(name), soon()), CLOCK));
}

let isWaiting = false;
let mayDrawAt = 0;

function soon() {
  if (isWaiting) return;
  isWaiting = true;
  const go = () => {
    isWaiting = false;
    const begun = performance.now();
    keepingFocus(draw);
    const ended = performance.now();
    mayDrawAt = Math.max(begun + BUSY, ended + (ended - begun) * SHARE);
  };
  const wait = mayDrawAt - performance.now();
  if (document.hidden || wait > 0) setTimeout(go, Math.max(0, wait));
  else requestAnimationFrame(go);
}

function draw() {
  document.body.classList.toggle("out", !isIn);
  drawTop();
  if (!isIn) return;
  const conversation = selected();
  const all = numbers();
  if (conversation?.work) need("work", () => import("./work.js"), (found) => (work = found));
  if (conversation) {
    need("others", () => import("./others.js"), (found) => (others = found));
    need("contact", () => import("./contact.js"), (found) => (contact = found));
  }
  others?.looks(state.selected);
  document.body.dataset.view = !state.selected ? "list" : isContactOpen() ? "contact" : "thread";
  drawFilters(all);
  listView.drawList(state, { numbers: all, draftOf: composer.draftOf });
  show($("thread-head"), head(conversation, all));
  work?.settle($("thread-head"));
  if (state.threadState === "ready" && threadView.isAtEnd()) state.thread = trimmed(state.thread);
  if (state.threadState === "ready") outbox.settle(new Set(messagesOf(state.thread).map(({ message_id }) => message_id)));
  // Before the thread, for what it leaves of the pane decides where the thread ends.
  composer.drawComposer(state.threadState === "ready" ? conversation : null, { number: all.get(conversation?.phone_number_id), isLost: state.live === "lost" });
  threadView.drawThread({ state, conversation, entries: state.selected ? outbox.entriesOf(state.selected) : [], template: templates.finder(conversation?.waba_id) });
  show($("contact"), contact?.contactPane(state, { conversation, numbers: all, isAdmin: session.isAdmin(), work, me: session.claims()?.sub ?? null }));
  lookAt(conversation);
  giveFocus();
  drawWhenClosed(conversation);
}

let closing = null;

/** A window closes at its moment, and not with the next look at the clock. */
function drawWhenClosed(conversation) {
  clearTimeout(closing);
  const { left } = conversation ? windowAt(conversation) : { left: null };
  if (left !== null && left < CLOCK) closing = setTimeout(soon, left + 20);
}

function giveFocus() {
  if (toFocus === "answer" && state.threadState === "ready" && !$("answer").hidden) {
    toFocus = null;
    // A phone's keyboard would hide what one came to read.
    if (narrow.matches || matchMedia("(pointer: coarse)").matches) focusOn($("thread-name"), { preventScroll: true });
    else composer.focusComposer();
  }
  if (toFocus?.row) {
    listView.focusRow(toFocus.row);
    toFocus = null;
  }
  if (toFocus === "contact" && $("contact-name")) {
    toFocus = null;
    focusOn($("contact-name"));
  }
}

function drawTop() {
  const { live, lostAt, health } = state;
  const { kind, text } = !isIn && live !== "lost" ? LIVE.out : live === "lost" ? { kind: "bad", text: `No connection, as of ${clock(lostAt)}` } : LIVE[live];
  $("live").className = `live ${kind}`;
  show($("live"), h("i", { "aria-hidden": "true" }), h("span", {}, text), live === "lost" && isIn ? h("button", { class: "button text small", type: "button", "data-action": "retry" }, "Try now") : null);
  show($("organisation"), isIn ? named(session.claims()?.orgId ?? "") : null);
  show($("health"), isIn && health ? healthLink(health) : null);
  $("sign-out").hidden = $("to-insights").hidden = !isIn;
  $("show-keys").hidden = !isIn;
  const unread = isIn ? [...state.conversations.values()].filter((each) => each.unread > 0).length : 0;
  const title = `${unread ? `(${unread}) ` : ""}Inbox`;
  if (document.title !== title) document.title = title;
}

function healthLink({ status, wabas }) {
  const failing = wabas.filter((waba) => waba.connected && waba.status === "failing").length;
  const connected = wabas.some((waba) => waba.connected);
  const { kind, glyph, text } = !connected ? { kind: "wait", glyph: "alert", text: "Nothing is connected" }
    : failing ? { kind: "bad", glyph: "alert", text: `${plural(failing, "account")} not working` }
      : status === "degraded" ? { kind: "wait", glyph: "alert", text: "WhatsApp needs attention" } : { kind: "plain", glyph: "check", text: "WhatsApp works" };
  return h("a", { class: `badge ${kind}`, href: "/", title: text }, icon(glyph), h("span", {}, text));
}

function drawFilters(all) {
  show($("filters"), SHOWS.map(([name, text]) => h("button", { class: "chip", type: "button", "data-key": name, "data-action": "show", "data-show": name, "aria-pressed": String(state.filter.show === name) }, text)));
  show($("more-shows"), h("option", { value: "", "data-key": "none" }, "More…"), MORE_SHOWS.map(([name, text]) => h("option", { value: name, "data-key": name }, text)));
  const more = MORE_SHOWS.some(([name]) => name === state.filter.show) ? state.filter.show : "";
  if ($("more-shows").value !== more) $("more-shows").value = more;
  const is = all.size > 1 || state.filter.number !== "";
  $("number-label").hidden = !is;
  if (!is) return;
  show($("number"), h("option", { value: "", "data-key": "all" }, "All numbers"), [...all].map(([id, { verified_name, display_phone_number }]) =>
    h("option", { value: id, "data-key": id }, `${isolated(verified_name ?? "")} ${display_phone_number ?? ""}`)));
  if ($("number").value !== state.filter.number) $("number").value = state.filter.number;
}

function head(conversation, all) {
  if (!conversation) return state.selected ? h("a", { class: "close only-narrow", href: "/inbox", "data-action": "back", "aria-label": "Back to the conversations" }, icon("back")) : null;
  const number = all.size > 1 ? all.get(conversation.phone_number_id) : null;
  return [
    h("a", { class: "close only-narrow", href: "/inbox", "data-action": "back", "aria-label": "Back to the conversations" }, icon("back")),
    h("div", { class: "grow thread-who" },
      h("h2", { id: "thread-name", class: "one-line", tabindex: "-1" }, named(nameOf(conversation))),
      number ? h("p", { class: "fine one-line" }, "with ", named(number.verified_name ?? ""), " ", h("bdi", {}, number.display_phone_number ?? "")) : null,
      work && conversation.work && work.workNote(conversation) ? h("p", { class: "fine one-line" }, work.workNote(conversation)) : null,
      others && drawOthers(others.othersNote(conversation.conversation_id, session.claims()?.sub)),
      conversation.thread_owner?.ours === false ? h("p", { class: "fine wait" }, "Another responder answers at present.") : null),
    work && conversation.work ? work.workBar(conversation, session.claims()?.sub ?? null) : null,
    h("button", { class: "button text small not-wide", type: "button", "data-action": "toggle-contact", "aria-expanded": String(isContactOpen()), "aria-controls": "contact-pane" }, icon("person"), h("span", {}, "Contact")),
  ];
}

const drawOthers = (found) => found && h("p", { class: `fine one-line${found.isWriting ? " wait" : ""}`, "data-key": "others" }, found.said);

start();
