// What the page knows: conversations by their ids, the part of one thread that is shown, who it is with, what was looked for.

import { Refused, SignedOut, Unreachable, call, callUnlessSame } from "../shared/api.js";
import { PAGE, messagesOf, middle, newer, newest, older, withChanged, withNewer, withOlder } from "../conversation/pages.js";
import { EVERYTHING, query } from "./order.js";

const LIST_PAGE = 100; // conversations in an answer
const CLOSING_PAGE = 200;
const CLOSING_MOST = 2_000; // conversations that are looked through for those whose window closes soon
const KEPT = 20_000; // conversations that are remembered
const FOUND_PAGE = 30;
const HEALTH_AGAIN = 60_000; // ms
const OUTDATED = -1; // version of a conversation that has to be asked for anew

const nothing = () => ({
  live: "connecting",
  lostAt: null,
  conversations: new Map(),
  filter: { ...EVERYTHING },
  list: "loading", // ready, failed, forbidden
  next: null,
  end: null, // the last of the last page: what is older is not loaded
  loadingMore: false,
  search: null, // {q, status, messages, next}
  selected: null,
  threadState: "none", // loading, ready, failed, gone
  thread: null,
  loadingOlder: false,
  loadingNewer: false,
  threadFailed: null, // older, newer
  unreadFrom: null, // the first message that nobody had looked at when the thread was opened
  goTo: null, // the message to show
  contact: null,
  contactState: "none", // loading, ready, failed
  health: null,
});

export const state = nothing();

let session = 0; // grows each time that somebody signs out
let changed = () => {};
let listAsked = 0; // the newest question for the list: an answer to an earlier one is dropped
let threadAsked = 0;
let waiting = null; // changes of the thread that came while it was asked for

export function onChange(callback) {
  changed = callback;
}

let readMessage = () => null;

/** Who reads further up in a thread, and of which message: `callback` returns its id, null at the end. */
export function whereRead(callback) {
  readMessage = callback;
}

export function change(changes) {
  Object.assign(state, changes);
  changed();
}

/** Nothing of anybody stays. */
export function forgetAll() {
  session += 1;
  listAsked += 1;
  threadAsked += 1;
  waiting = null;
  Object.assign(state, nothing());
  changed();
}

export const selected = () => state.conversations.get(state.selected) ?? null;

/** A call whose answer counts only while the same person is signed in. Throws like `call`; `null` where it is another. */
async function ask(path, options) {
  const asker = session;
  const answer = await call(path, options);
  return asker === session ? answer : null;
}

const withQuery = (path, asked) => `${path}?${new URLSearchParams(asked)}`;

/** Remember a conversation, unless what is known of it is newer. Returns what was known before. */
export function take(conversation) {
  const { conversations } = state;
  const before = conversations.get(conversation.conversation_id) ?? null;
  if (before && before.version > conversation.version) return before;
  conversations.set(conversation.conversation_id, { ...conversation, sorted: Date.parse(conversation.sorted_at) });
  if (conversations.size > KEPT) conversations.delete(conversations.keys().find((id) => id !== state.selected));
  return before;
}

/* ---- the list ---- */

/** Ask for the list anew, from its beginning. What was known stays until the answer is there. Returns whether it is. */
export async function loadList() {
  const asked = ++listAsked;
  change({ list: state.conversations.size ? state.list : "loading", loadingMore: false });
  try {
    const isClosing = state.filter.show === "closing";
    let answer = await ask(withQuery("/conversations", { ...query(state.filter), limit: isClosing ? CLOSING_PAGE : LIST_PAGE }));
    const found = [];
    for (;;) {
      if (!answer || asked !== listAsked) return;
      found.push(...answer.conversations);
      if (!isClosing || !answer.next || found.length >= CLOSING_MOST) break;
      answer = await ask(withQuery("/conversations", { ...query(state.filter), limit: CLOSING_PAGE, after: answer.next }));
    }
    for (const conversation of found) take(conversation);
    const isAll = isClosing || !answer.next;
    change({ list: "ready", next: isAll ? null : answer.next, end: isAll ? null : known(found.at(-1)) });
    return true;
  } catch (error) {
    failedWith(error, () => asked === listAsked && change({ list: state.list === "ready" ? "ready" : "failed" }));
  }
}

/** Ask for the page that follows. */
export async function loadMore() {
  if (!state.next || state.loadingMore || state.list !== "ready") return;
  const asked = listAsked;
  change({ loadingMore: true });
  try {
    const answer = await ask(withQuery("/conversations", { ...query(state.filter), limit: LIST_PAGE, after: state.next }));
    if (!answer || asked !== listAsked) return;
    for (const conversation of answer.conversations) take(conversation);
    change({ next: answer.next, end: answer.next ? known(answer.conversations.at(-1)) : null, loadingMore: false });
  } catch (error) {
    if (asked === listAsked) state.loadingMore = false;
    failedWith(error, changed);
  }
}

const known = ({ conversation_id }) => state.conversations.get(conversation_id);

export function filterBy(filter) {
  Object.assign(state, { filter: { ...state.filter, ...filter }, next: null, end: null, list: "loading" });
  return loadList();
}

/** Look for people and messages; an empty text ends it. */
export async function searchFor(q) {
  if (!q) return change({ search: null });
  const search = { q, status: "loading", people: state.search?.people ?? [], messages: state.search?.messages ?? [], next: null };
  change({ search });
  try {
    const people = await ask(withQuery("/conversations", { named: q, limit: FOUND_PAGE }));
    if (!people || state.search !== search) return;
    for (const conversation of people.conversations) take(conversation);
    search.people = people.conversations.map(({ conversation_id }) => conversation_id);
    changed();
    const answer = await ask(withQuery("/conversations/search", { q, limit: FOUND_PAGE }));
    if (!answer || state.search !== search) return;
    await Promise.all([...new Set(answer.messages.map(({ conversation_id }) => conversation_id))].map(know));
    if (state.search !== search) return;
    change({ search: { ...search, status: "ready", messages: answer.messages, next: answer.next } });
  } catch (error) {
    const status = error instanceof Refused && error.code === "search_is_off" ? "off" : "failed";
    failedWith(error, () => state.search === search && change({ search: { ...search, status, messages: [] } }));
  }
}

/** Have a conversation among those that are known. Returns it, or null where there is none. */
export async function know(conversation_id) {
  if (state.conversations.has(conversation_id)) return state.conversations.get(conversation_id);
  try {
    const answer = await ask(`/conversations/${conversation_id}`);
    if (!answer) return null;
    take(answer);
    return state.conversations.get(answer.conversation_id);
  } catch (error) {
    if (error instanceof Refused && [404, 422].includes(error.status)) return null;
    throw error;
  }
}

/* ---- the thread ---- */

/** Show a conversation; with `message` that one is in its middle. */
export async function openConversation(conversation_id, message = null) {
  if (conversation_id === null) {
    threadAsked += 1;
    return change({ selected: null, thread: null, threadState: "none", contact: null, contactState: "none", goTo: null, unreadFrom: null });
  }
  const isSame = state.selected === conversation_id && state.threadState === "ready";
  if (isSame && !message) return changed();
  if (isSame && messagesOf(state.thread).some(({ message_id }) => message_id === message)) return change({ goTo: message });
  if (!isSame) Object.assign(state, { thread: null, threadState: "loading", unreadFrom: null, contact: null, contactState: "loading" });
  change({ selected: conversation_id, goTo: message });
  await Promise.all([loadThread(message), loadContact()]);
}

/** Ask for the thread of the conversation that is shown, from its end or around a message, which is gone to unless somebody is there. */
export async function loadThread(message = null, { isThere = false } = {}) {
  const asked = ++threadAsked;
  const conversation_id = state.selected;
  const isMine = () => asked === threadAsked;
  waiting = [];
  Object.assign(state, { loadingOlder: false, loadingNewer: false, threadFailed: null });
  try {
    const path = `/conversations/${conversation_id}/messages`;
    const [conversation, answer] = await Promise.all([
      know(conversation_id),
      ask(withQuery(path, { limit: PAGE, ...(message ? { around: message } : {}) })).catch((error) => {
        // The message is not kept any more, but the conversation is.
        if (message && error instanceof Refused && error.status === 404) return ask(withQuery(path, { limit: PAGE }));
        throw error;
      }),
    ]);
    if (!answer || !isMine()) return;
    if (!conversation) return change({ threadState: "gone" });
    const isAround = message !== null && answer.messages.some(({ message_id }) => message_id === message);
    const thread = withChanged((isAround ? middle : newest)(answer), waiting);
    waiting = null;
    const isFirst = state.threadState !== "ready";
    const unreadFrom = isFirst ? (messagesOf(thread).find(({ unread }) => unread)?.message_id ?? null) : state.unreadFrom;
    change({ selected: conversation.conversation_id, thread, threadState: "ready", unreadFrom, goTo: isAround && !isThere ? message : null });
    if (isAround) await loadNewer();
  } catch (error) {
    if (!isMine()) return;
    waiting = null;
    if (error instanceof Refused && [404, 422].includes(error.status)) return change({ threadState: "gone", thread: null });
    failedWith(error, () => change({ threadState: state.thread ? "ready" : "failed" }));
  }
}

export const loadOlder = () => extend("Older", (thread) => older(thread), "after", withOlder);

export const loadNewer = () => extend("Newer", (thread) => (thread.atEnd ? null : newer(thread)), "before", withNewer);

async function extend(side, cursorOf, name, added) {
  const flag = `loading${side}`;
  if (state.threadState !== "ready" || state[flag]) return;
  const cursor = cursorOf(state.thread);
  if (!cursor) return;
  const asked = threadAsked;
  change({ [flag]: true, threadFailed: null });
  try {
    const answer = await ask(withQuery(`/conversations/${state.selected}/messages`, { limit: PAGE, ...(typeof cursor === "string" ? { [name]: cursor } : cursor) }));
    if (!answer || asked !== threadAsked) return;
    const isStill = cursorOf(state.thread) === cursor;
    change({ [flag]: false, thread: isStill ? added(state.thread, answer) : state.thread });
  } catch (error) {
    if (asked === threadAsked) Object.assign(state, { [flag]: false, threadFailed: side });
    failedWith(error, changed);
  }
}

/* ---- who it is ---- */

export async function loadContact() {
  const conversation_id = state.selected;
  try {
    const contact_id = (await know(conversation_id))?.contact?.contact_id;
    if (state.selected !== conversation_id) return;
    if (!contact_id) return change({ contact: null, contactState: "none" });
    const contact = await ask(`/contacts/${contact_id}`);
    if (!contact) return;
    await Promise.all(contact.conversations.map((each) => know(each.conversation_id)));
    if (state.selected === conversation_id) change({ contact, contactState: "ready" });
  } catch (error) {
    failedWith(error, () => state.selected === conversation_id && change({ contactState: "failed" }));
  }
}

/** Have everything of a person deleted. Returns whether it is gone already. */
export async function forgetContact(contact_id) {
  const answer = await ask(`/contacts/${contact_id}`, { method: "DELETE", headers: { Prefer: "wait=10" } });
  return answer?.status === "forgotten";
}

/* ---- what is told ---- */

/** A conversation has changed, and these of its messages. Returns how many messages have come that nobody has looked at. */
export function takeChange({ conversation, messages, reload }) {
  const before = take(conversation);
  const { conversation_id } = conversation;
  if (conversation_id === state.selected) {
    if (state.threadState === "elsewhere") openConversation(conversation_id);
    else if (waiting) waiting.push(...(messages ?? []));
    else if (state.threadState === "ready") {
      if (messages?.length) state.thread = withChanged(state.thread, messages);
      if (reload) loadThread(readMessage(), { isThere: true });
    }
    if (before && nameOfContact(before) !== nameOfContact(conversation)) loadContact();
  }
  changed();
  return Math.max(0, conversation.unread - (before?.unread ?? 0));
}

const nameOfContact = ({ contact }) => JSON.stringify(contact);

/** There is no such conversation any more, it is a part of another one, or it is for another team. */
export function takeRemoved({ conversation_id, merged_into, reason }) {
  state.conversations.delete(conversation_id);
  if (state.end?.conversation_id === conversation_id) loadList();
  if (state.selected !== conversation_id) return changed();
  if (merged_into) return openConversation(merged_into);
  threadAsked += 1;
  change({ thread: null, threadState: reason === "out_of_sight" ? "elsewhere" : "gone", contact: null, contactState: "none" });
}

/** All is to be asked for again: it was missed too long, or this person sees something else from now on. */
export function loadAnew({ reason } = {}) {
  const { selected: conversation_id } = state;
  for (const conversation of state.conversations.values()) conversation.version = OUTDATED;
  const isShown = conversation_id && state.threadState !== "none";
  return Promise.all([loadList().then(dropOutdated), isShown ? refreshSelected(conversation_id, reason === "teams" ? "out_of_sight" : null) : null]);
}

/** What was known before and is not in the answer may not be there any more: whoever needs it asks for it. */
function dropOutdated(isThere) {
  if (!isThere) return;
  for (const [id, { version }] of state.conversations) if (version === OUTDATED && id !== state.selected) state.conversations.delete(id);
  changed();
}

async function refreshSelected(conversation_id, reason) {
  try {
    const answer = await ask(`/conversations/${conversation_id}`);
    if (answer) take(answer);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return takeRemoved({ conversation_id, merged_into: null, reason });
    return failedWith(error, changed);
  }
  await Promise.all([loadThread(readMessage(), { isThere: true }), loadContact()]);
}

/* ---- how the connection is doing ---- */

let health = null;

/** Ask how the accounts are, and which numbers there are; again every minute while somebody looks. */
export async function watchHealth() {
  const asker = session;
  while (asker === session) {
    if (!document.hidden) {
      try {
        const answer = await callUnlessSame("/webhook/health/detailed", health);
        if (asker !== session) return;
        health = answer;
        change({ health: answer });
      } catch (error) {
        failedWith(error, () => {});
      }
    }
    await new Promise((resolve) => setTimeout(resolve, HEALTH_AGAIN));
  }
}

export function forgetHealth() {
  health = null;
}

/** The business numbers by their ids, with their names. */
export function numbers() {
  const found = new Map();
  for (const waba of state.health?.wabas ?? []) {
    for (const phone of waba.phones ?? []) found.set(phone.phone_number_id, { ...phone, waba_id: waba.waba_id, connected: waba.connected, account: waba });
  }
  return found;
}

/* ---- failures ---- */

let signedOut = () => {};

export function onSignedOut(callback) {
  signedOut = callback;
}

/** What an answer that did not come means: whoever is signed out sees nothing more, and what was refused is not there. */
export function failedWith(error, then) {
  if (error instanceof SignedOut) return signedOut();
  if (error instanceof Refused && error.status === 403) return change({ list: "forbidden" });
  if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
  then();
}
