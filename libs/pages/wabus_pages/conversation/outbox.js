// What is on its way: shown at once, kept through a reload, asked for once however often it is tried, and told to its end.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";

const KEY = "wabus.inbox.outbox";
const MOST = 200; // entries; a person can't read more of them
const WAIT = 8; // seconds that Meta may take until we ask again
const RETRIES = [500, 1_000, 2_000, 4_000, 8_000, 15_000]; // ms between tries to get it to the server, then the last again
const WORTH = 3_600_000; // ms that an answer is worth sending, as the server has it
const UNKNOWN_AGAIN = 15_000; // ms between questions what became of one of which Meta said nothing
const UNKNOWN_MOST = 40; // of these
const SHOWN_STILL = 10_000; // ms that an accepted one stays until its message is in the thread

const OPEN = new Set(["sending", "waiting", "queued", "calling"]);
let entries = [];
let org = null;
let changed = () => {};
let signedOut = () => {};
const running = new Set();

/** Take up what this tab has not brought to its end. `onChange` hears of each change. */
export function begin(org_id, { onChange, onSignedOut }) {
  [org, changed, signedOut] = [org_id, onChange, onSignedOut];
  entries = read().filter((entry) => entry.org === org);
  for (const entry of entries) if (OPEN.has(entry.state) || entry.state === "unknown") run(entry);
}

/** Nobody is signed in: nothing is shown or sent. With `kept` false nothing is left either. */
export function end({ kept }) {
  entries = [];
  org = null;
  if (!kept) sessionStorage.removeItem(KEY);
}

/** What is on its way in a conversation. A reaction is not a line of its own: it is shown only where it did not get away. */
export const entriesOf = (conversation_id) =>
  entries.filter((entry) => entry.conversation_id === conversation_id && !(entry.content.type === "reaction" && (OPEN.has(entry.state) || entry.state === "accepted")));

/** Ask for a message in a conversation: `content` is Meta's, with its type. `quoted` is shown beside it, and `small` for a picture. */
export function send(conversation_id, content, { quoted = null, shown = null, small = null } = {}) {
  const entry = {
    key: crypto.randomUUID(), org, conversation_id, content, quoted, shown, small,
    at: new Date().toISOString(), state: "sending", path: "/messages", send_id: null, message_id: null, problem: null,
  };
  entries = [...entries, entry].slice(-MOST);
  keep();
  run(entry);
  return entry.key;
}

/** Ask once more for what has ended otherwise than it should: a person wants it twice rather than never. */
export function again(key) {
  const entry = entries.find((each) => each.key === key);
  if (!entry || OPEN.has(entry.state)) return;
  const path = entry.send_id ? `/sends/${entry.send_id}/again` : "/messages";
  running.delete(key);
  Object.assign(entry, { key: crypto.randomUUID(), path, at: new Date().toISOString(), state: "sending", send_id: null, message_id: null, problem: null });
  keep();
  run(entry);
}

export function remove(key) {
  entries = entries.filter((entry) => entry.key !== key);
  keep();
}

/** These messages are in the thread: what stands for them here is not needed any more. */
export function settle(message_ids) {
  const left = entries.filter((entry) => !(entry.message_id && message_ids.has(entry.message_id)));
  if (left.length === entries.length) return;
  entries = left;
  keep();
}

async function run(entry) {
  const { key } = entry;
  if (running.has(key)) return;
  running.add(key);
  try {
    await bring(entry);
  } catch (error) {
    if (error instanceof SignedOut) signedOut();
    else if (!(error instanceof Ended)) throw error;
  } finally {
    running.delete(key);
  }
}

/** Somebody has removed it, or has signed out. */
class Ended extends Error {}

async function bring(entry) {
  const isMine = ((key) => () => org !== null && entries.includes(entry) && entry.key === key)(entry.key);
  const update = (changes) => {
    if (!isMine()) throw new Ended();
    Object.assign(entry, changes);
    keep();
  };
  let answer = null;
  for (let tries = 0; !entry.send_id; tries += 1) {
    try {
      const options = { method: "POST", headers: { "Idempotency-Key": entry.key, Prefer: `wait=${WAIT}` } };
      if (entry.path === "/messages") options.body = { conversation_id: entry.conversation_id, ...entry.content };
      answer = await call(entry.path, options);
      update({ send_id: answer.send_id, state: answer.state });
    } catch (error) {
      if (error instanceof Refused && error.status !== 429 && error.status < 500) {
        return update({ state: "refused", problem: { code: error.code, message: error.message, remedy: error.problem?.remedy ?? null } });
      }
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (Date.now() - Date.parse(entry.at) > WORTH) {
        return update({ state: "unknown", problem: { code: "not_reached", message: "We could not be reached for an hour, so nobody knows whether this was taken.", remedy: null } });
      }
      update({ state: "waiting" });
      await pause(RETRIES[Math.min(tries, RETRIES.length - 1)]);
      update({ state: "sending" });
    }
  }
  for (let asked = 0; ; asked += 1) {
    if (answer?.send_id && answer.state !== undefined) update(found(answer));
    if (entry.state === "accepted") break;
    if (!OPEN.has(entry.state) && entry.state !== "unknown") return;
    if (entry.state === "unknown" && asked > UNKNOWN_MOST) return;
    await pause(entry.state === "unknown" ? UNKNOWN_AGAIN : RETRIES[Math.min(asked, RETRIES.length - 1)]);
    update({});
    try {
      answer = await call(`/sends/${entry.send_id}`);
    } catch (error) {
      // The log has it before the table does.
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      if (error instanceof Refused && error.status === 403) return;
      answer = null;
    }
  }
  if (entry.content.type !== "reaction") await pause(SHOWN_STILL);
  remove(entry.key);
}

function found({ state, message_id, refusal, waits_for, next_at }) {
  return {
    state,
    message_id: message_id ?? null,
    waits: state === "queued" && waits_for ? { reason: waits_for, next_at } : null,
    problem: refusal ? { code: refusal.code, message: refusal.message, remedy: refusal.remedy } : null,
  };
}

/** Until then, or until the connection is back. */
function pause(ms) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener("online", over);
  });
}

function keep() {
  try {
    if (entries.length) sessionStorage.setItem(KEY, JSON.stringify(entries));
    else sessionStorage.removeItem(KEY);
  } catch {
    // There is no room: it goes all the same, and a reload forgets it.
  }
  changed();
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}
