// Where an answer is written: kept while it is not sent, with WhatsApp's marks, and only where one may be sent.

import { announce } from "../shared/announce.js";
import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";
import { h, icon, show } from "../shared/dom.js";
import { clock, dated } from "../shared/time.js";
import { toast } from "../shared/toasts.js";
import { named, number, upright } from "../shared/words.js";
import { SOON, kindOf, left, nameOf, windowAt } from "../inbox/words.js";
import * as outbox from "./outbox.js";
import { hasLink, hasMarks, rich } from "./text.js";

const DRAFT = "wabus.inbox.draft."; // and the conversation
const LONGEST = 4096; // characters of a text
const LONGEST_CAPTION = 1024; // characters beside a file
const WARN = 500; // characters left from which they are counted
const TYPING = 20_000; // ms between two words to Meta that somebody is writing; it shows them for 25 s
const MARKS = { bold: "*", italic: "_", strike: "~", code: "`" };

const $ = (id) => document.getElementById(id);
let current = null; // the conversation
let reply = null; // the message that is answered: {message_id, wamid, direction, type, text}
let typedAt = 0;
let drawnFiles = "";

/** Listen to the field, once. */
export function begin(callbacks) {
  whenFiles = callbacks;
  const text = $("text");
  text.addEventListener("input", () => {
    keepDraft();
    drawText();
    tellTyping();
  });
  text.addEventListener("keydown", onKey);
  text.addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (!files.length) return;
    event.preventDefault();
    addFiles(files);
  });
  $("file").addEventListener("change", ({ target }) => {
    addFiles(target.files);
    target.value = "";
    text.focus();
  });
  const pane = $("main");
  const carries = ({ dataTransfer }) => dataTransfer.types.includes("Files");
  pane.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = mayAdd() ? "copy" : "none";
    pane.classList.toggle("dropping", mayAdd());
  });
  pane.addEventListener("dragleave", ({ relatedTarget }) => pane.contains(relatedTarget) || pane.classList.remove("dropping"));
  pane.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    pane.classList.remove("dropping");
    addFiles(event.dataTransfer.files);
  });
}

const mayAdd = () => current !== null && !$("composer").hidden;

let attachments = null; // asked for when somebody has files
let whenFiles = {};

async function addFiles(chosen) {
  if (!mayAdd()) return;
  const { conversation_id, phone_number_id } = current;
  const files = [...chosen]; // the list of a field is emptied with the field
  if (!attachments) {
    attachments = await import("./attachments.js").catch(() => null);
    if (!attachments) return toast("bad", "Files can't be added right now: we can't be reached. Please try again in a moment.");
    attachments.begin(whenFiles);
  }
  attachments.add(conversation_id, phone_number_id, files);
}

const filesOf = (conversation_id) => attachments?.filesOf(conversation_id) ?? [];

export function removeFile(id) {
  attachments.remove(current.conversation_id, id);
  $("text").focus();
}

/** Whether Enter sends; else it makes a line, and Ctrl+Enter sends. */
export const enterSends = () => localStorage.getItem("wabus.inbox.enter") !== "line";

export function setEnterSends(does) {
  localStorage.setItem("wabus.inbox.enter", does ? "send" : "line");
}

function onKey(event) {
  if (event.isComposing) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && !event.altKey && (isCommand || (enterSends() && !event.shiftKey))) {
    event.preventDefault();
    return sendText();
  }
  const mark = isCommand && !event.shiftKey && !event.altKey ? { b: "bold", i: "italic" }[event.key.toLowerCase()] : null;
  if (mark) {
    event.preventDefault();
    format(mark);
  }
}

/** Put marks around what is selected, or take them away again. */
export function format(name) {
  const text = $("text");
  const mark = MARKS[name];
  const { selectionStart: from, selectionEnd: to, value } = text;
  const isMarked = value.slice(from - 1, from) === mark && value.slice(to, to + 1) === mark;
  const chosen = value.slice(from, to);
  if (isMarked) text.setRangeText(chosen, from - 1, to + 1, "select");
  else {
    text.setRangeText(mark + chosen + mark, from, to, "end");
    text.setSelectionRange(from + 1, from + 1 + chosen.length);
  }
  text.focus();
  text.dispatchEvent(new Event("input"));
}

/** Write an answer to a message. Without an id of Meta's nothing can be quoted. */
export function replyTo(message) {
  const wamid = message.content?.id;
  if (typeof wamid !== "string" || message.revoked_at) return false;
  const { message_id, direction, type, text } = message;
  reply = { message_id, wamid, direction, type, text };
  drawReply();
  focusComposer();
  return true;
}

export function cancelReply() {
  if (!reply) return false;
  reply = null;
  drawReply();
  return true;
}

export function focusComposer() {
  const place = $("composer").hidden ? $("blocked").querySelector("button") : $("text");
  place?.focus();
}

export function sendText() {
  const body = $("text").value.trim();
  if (!maySend(body)) return;
  const files = attachments?.takeAll(current.conversation_id) ?? [];
  if (files.length) for (const { content, ...more } of attachments.contents(files, body)) send(content, more);
  else send({ type: "text", text: { body, ...(hasLink(body) ? { preview_url: true } : {}) } });
  $("text").value = "";
  typedAt = 0;
  keepDraft();
  drawText();
}

function maySend(body) {
  if (!current || $("composer").hidden) return false;
  const files = filesOf(current.conversation_id);
  return (body || files.length > 0) && body.length <= (files.length ? LONGEST_CAPTION : LONGEST) && files.every(({ state }) => state === "stored");
}

/** Send Meta's content into the conversation that is shown, as an answer to what is quoted. */
export function send(content, { shown = null, small = null } = {}) {
  const quoted = reply && content.type !== "reaction" ? { message_id: reply.message_id, here: true, direction: reply.direction, type: reply.type, text: reply.text } : null;
  const whole = quoted ? { ...content, context: { message_id: reply.wamid } } : content;
  const key = outbox.send(current.conversation_id, whole, { quoted, shown, small });
  if (quoted) cancelReply();
  return key;
}

/* ---- drafts ---- */

function keepDraft() {
  if (!current) return;
  const { value } = $("text");
  try {
    if (value) sessionStorage.setItem(DRAFT + current.conversation_id, value);
    else sessionStorage.removeItem(DRAFT + current.conversation_id);
  } catch {
    // There is no room: it stays in the field.
  }
}

export const draftOf = (conversation_id) => sessionStorage.getItem(DRAFT + conversation_id) ?? "";

export function forgetDrafts() {
  for (const name of Object.keys(sessionStorage)) if (name.startsWith(DRAFT)) sessionStorage.removeItem(name);
}

export function forgetComposer() {
  current = null;
  reply = null;
  $("text").value = "";
  $("answer").hidden = true;
  attachments?.forgetFiles();
  for (const id of ["reply", "files", "written", "count", "window", "blocked"]) $(id).replaceChildren();
}

/* ---- what is shown ---- */

/** Draw for a conversation: the field where an answer may be sent, else why not and what may. */
export function drawComposer(conversation, { number: phone, isLost, now = Date.now() }) {
  const isOther = current?.conversation_id !== conversation?.conversation_id;
  if (isOther) {
    keepDraft();
    reply = null;
    typedAt = 0;
    current = conversation;
    $("text").value = conversation ? draftOf(conversation.conversation_id) : "";
    drawText();
    drawReply();
  }
  current = conversation;
  $("answer").hidden = !conversation;
  if (!conversation) return;
  if (attachments) attachments.drawFiles($("files"), conversation.conversation_id);
  const why = blocked(conversation, phone, now);
  const hadFocus = $("composer").contains(document.activeElement);
  $("composer").hidden = why !== null;
  $("blocked").hidden = why === null;
  show($("blocked"), why ? [h("p", { class: "grow" }, icon(why.glyph), h("span", {}, why.text)), why.action] : null);
  const token = filesOf(conversation.conversation_id).map(({ id, state }) => `${id} ${state}`).join();
  if (token !== drawnFiles) {
    drawnFiles = token;
    drawText();
  }
  if (why && hadFocus) $("blocked").querySelector("button, a")?.focus();
  show($("window"), windowWords(conversation, now), isLost ? h("span", { class: "wait" }, "No connection: what you send waits here.") : null);
}

function blocked(conversation, phone, now) {
  if (!conversation.contact) return { glyph: "info", text: "Groups are shown here, and answered in WhatsApp.", action: null };
  const failing = phone && accountTrouble(phone);
  if (failing) return failing;
  const { state } = windowAt(conversation, now);
  if (state !== "closed") return null;
  const { closes_at } = conversation.window;
  const since = closes_at ? `The last message from ${upright(nameOf(conversation))} is more than 24 hours old` : `${upright(nameOf(conversation))} has not written to this number`;
  return {
    glyph: "clock",
    text: `${since}, so WhatsApp takes approved templates only. Anything can be sent once they write again.`,
    action: h("button", { class: "button", type: "button", "data-action": "pick-template" }, icon("form"), "Choose a template"),
  };
}

/** An account that can send nothing says why, and leads to where it is mended. */
function accountTrouble({ connected, account }) {
  const reason = connected ? account.reasons?.find(({ severity, action }) => severity === "failing" && action?.kind === "reconnect") : { message: "This number's account is not connected any more." };
  if (!reason) return null;
  return { glyph: "alert", text: reason.message, action: h("a", { class: "button", href: "/" }, "See the connection") };
}

function windowWords(conversation, now) {
  const { state, left: ms } = windowAt(conversation, now);
  const { closes_at, certain, free_entry_point: free } = conversation.window ?? {};
  if (state === "maybe") return h("span", {}, icon("info"), "Whether WhatsApp takes an answer now is not certain. It decides when you send.");
  if (state !== "open" || ms === null) return null;
  const isToday = new Date(closes_at).toDateString() === new Date(now).toDateString();
  return [
    h("span", { class: ms <= SOON ? "closing" : null, title: `Until ${dated(closes_at)}` }, icon("clock"), `${left(ms)} left to answer`, ms <= SOON ? `, until ${isToday ? clock(closes_at) : dated(closes_at)}` : null),
    certain === false ? h("span", {}, "WhatsApp has refused a message since: it may be closed already.") : null,
    free && Date.parse(free.until) > now ? h("span", { title: `Until ${dated(free.until)}` }, "Free of charge") : null,
  ];
}

function drawText() {
  const { value } = $("text");
  const hasFiles = current !== null && filesOf(current.conversation_id).length > 0;
  const most = hasFiles ? LONGEST_CAPTION : LONGEST;
  const isLong = value.length > most - Math.min(WARN, most / 4);
  show($("written"), hasMarks(value.slice(0, LONGEST)) ? [h("span", { class: "label" }, "Preview"), h("p", { dir: "auto" }, rich(value.slice(0, LONGEST)))] : null);
  show($("count"), isLong ? h("span", { class: value.length > most ? "error" : null }, value.length > most ? `${number(value.length - most)} characters too many` : `${number(most - value.length)} characters left`) : null);
  $("send").setAttribute("aria-disabled", String(!maySend(value.trim())));
  grow();
}

const GROWS = CSS.supports("field-sizing", "content");

/** As high as what is written, up to what the style says; where the browser does not do that by itself, which is dearer. */
function grow() {
  if (GROWS) return;
  const text = $("text");
  text.style.setProperty("height", "auto");
  text.style.setProperty("height", `${text.scrollHeight + 2}px`);
}

function drawReply() {
  show($("reply"), reply && current ? [
    h("span", { class: "quote grow" }, h("span", { class: "quote-who" }, "Answer to ", reply.direction === "out" ? "yourself" : named(nameOf(current))), h("span", { class: "quote-text", dir: "auto" }, upright(reply.text ?? "").slice(0, 200) || kindOf(reply.type))),
    h("button", { class: "close", type: "button", "data-action": "cancel-reply", "aria-label": "Don't quote it" }, icon("cross"))] : null);
  if (reply) announce("Your answer will quote this message.", "reply");
}

/* ---- what WhatsApp is told ---- */

/** The person sees that an answer is being written. It is a courtesy: nothing depends on it. */
function tellTyping() {
  if (!current?.contact || !$("text").value || Date.now() - typedAt < TYPING) return;
  typedAt = Date.now();
  tellRead(current, { typing: true });
}

/** WhatsApp shows the person that their messages were read. */
export async function tellRead({ conversation_id, contact }, { typing = false } = {}) {
  if (!contact) return;
  try {
    await call("/messages/read", { method: "POST", body: { conversation_id, typing } });
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
  }
}
