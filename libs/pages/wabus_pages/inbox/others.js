// Who else looks at a conversation or writes in it just now, and that we do: so that no two answer the same. (docs/conversations.md)

import { Refused, SignedOut, Unreachable, open } from "../shared/api.js";
import { named } from "../shared/words.js";

const AGAIN = 15_000; // ms until it is said again that somebody looks
const WRITES_AGAIN = 5_000; // ms until it is said again that somebody writes
const GONE = 40_000; // ms without a word until somebody counts as gone
const STOPPED = 12_000; // ms without a word until somebody counts as only looking
const PATIENCE = 10_000; // ms
const SHOWN = 3; // named one by one

let seen = new Map(); // by conversation: by `sub`, {doing, at, wroteAt}
let here = null; // the conversation that we have said to look at
let saidAt = 0;
let wroteAt = 0;

export function forgetOthers() {
  seen = new Map();
  here = null;
}

/** Take a frame of the feed. */
export function take({ conversation_id, agent, doing }, now = Date.now()) {
  const of = seen.get(conversation_id) ?? new Map();
  if (doing === "gone") of.delete(agent);
  else of.set(agent, { at: now, wroteAt: doing === "writing" ? now : (of.get(agent)?.wroteAt ?? -Infinity) });
  if (of.size) seen.set(conversation_id, of);
  else seen.delete(conversation_id);
}

/** Who else is there, for the head of a thread: words, or null. `me` is the `sub` of whoever looks. */
export function othersNote(conversation_id, me, now = Date.now()) {
  const of = [...(seen.get(conversation_id) ?? [])].filter(([sub, { at }]) => sub !== me && now - at < GONE).sort(([one], [other]) => (one < other ? -1 : 1));
  const writing = of.filter(([, { wroteAt: at }]) => now - at < STOPPED).map(([sub]) => sub);
  const looking = of.map(([sub]) => sub).filter((sub) => !writing.includes(sub));
  const said = [...say(writing, "is writing an answer", "are writing answers"), ...(writing.length && looking.length ? [" · "] : []), ...say(looking, "is looking at this too", "are looking at this too")];
  return said.length ? { isWriting: writing.length > 0, said } : null;
}

function say(subs, one, several) {
  if (!subs.length) return [];
  const names = subs.slice(0, SHOWN).flatMap((sub, place) => [...(place ? [", "] : []), named(sub)]);
  return [...names, subs.length > SHOWN ? ` and ${subs.length - SHOWN} more` : "", ` ${subs.length > 1 ? several : one}`];
}

/** Say that we look at this conversation, `null` for none, and again after a while. */
export function looks(conversation_id) {
  if (document.hidden) conversation_id = null;
  if (here && here !== conversation_id) tell(here, "gone");
  if (conversation_id && (here !== conversation_id || Date.now() - saidAt >= AGAIN)) tell(conversation_id, "looking");
  here = conversation_id;
}

/** Say that we write in the conversation that we look at. */
export function writes() {
  if (!here || Date.now() - wroteAt < WRITES_AGAIN) return;
  wroteAt = Date.now();
  tell(here, "writing");
}

async function tell(conversation_id, doing) {
  saidAt = Date.now();
  if (doing === "gone") wroteAt = 0;
  try {
    const headers = { "Content-Type": "application/json" };
    await open(`/conversations/${conversation_id}/looking`, { method: "POST", body: JSON.stringify({ doing }), headers, keepalive: true, signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
  }
}

addEventListener("pagehide", () => looks(null));
