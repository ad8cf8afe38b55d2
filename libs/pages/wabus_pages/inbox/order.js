// Which conversations are in the list, and in which order: as the server has them, and as they change since. Pure.

import { SOON, windowAt } from "./words.js";

export const EVERYTHING = { show: "all", number: "", me: null };

/** What the server is asked for a filter. */
export function query({ show, number }) {
  const open = { state: "open" };
  const asked = {
    all: open,
    mine: { ...open, assignee: "me" },
    unassigned: { ...open, assignee: "none" },
    unread: { unread: "true" },
    closing: { ...open, window: "open" },
    closed: { ...open, window: "closed" },
    snoozed: { state: "snoozed" },
    done: { state: "closed" },
  }[show] ?? {};
  return { ...asked, ...(number ? { phone_number_id: number } : {}) };
}

/** Whether a conversation belongs to what a filter shows, at a moment. */
export function matches(conversation, { show, number, me }, now = Date.now()) {
  if (number && conversation.phone_number_id !== number) return false;
  const { work } = conversation;
  const isOpen = !work || work.state === "open";
  switch (show) {
    case "unread":
      return conversation.unread > 0;
    case "closing":
      return isOpen && isClosing(windowAt(conversation, now));
    case "closed":
      return isOpen && windowAt(conversation, now).state === "closed";
    case "mine":
      return isOpen && me !== null && work?.agent === me;
    case "unassigned":
      return isOpen && !work?.agent && !work?.bot;
    case "snoozed":
    case "done":
      return work?.state === (show === "done" ? "closed" : "snoozed");
    default:
      return isOpen;
  }
}

const isClosing = ({ state, left }) => state === "open" && left <= SOON;

/** The newest activity first, as the server has it. */
export function byActivity(one, other) {
  return other.sorted - one.sorted || (one.conversation_id > other.conversation_id) - (one.conversation_id < other.conversation_id);
}

/** What closes first. */
export function byEnd(one, other) {
  return Date.parse(one.window.closes_at) - Date.parse(other.window.closes_at) || byActivity(one, other);
}

/**
 * The conversations that the list has: those that match and are not older than what was loaded (`end`, the last of the
 * last page; null where all are). `kept` is one that stays although it has ceased to match, for somebody is reading it.
 */
export function listed(conversations, filter, { end = null, kept = null, now = Date.now() } = {}) {
  const found = [];
  for (const conversation of conversations) {
    if (end && byActivity(conversation, end) > 0) continue;
    if (matches(conversation, filter, now) || conversation.conversation_id === kept) found.push(conversation);
  }
  return found.sort(filter.show === "closing" ? (one, other) => (one.window && other.window ? byEnd(one, other) : 0) : byActivity);
}

/**
 * The order while somebody points at the list: what is there stays where it is, and what is older follows as it is loaded.
 * Returns the ids to show, and how many of the others have come or would stand higher.
 */
export function frozen(before, now) {
  const there = new Set(now);
  const kept = before.filter((id) => there.has(id));
  const known = new Set(kept);
  const last = now.findLastIndex((id) => known.has(id));
  const came = now.slice(0, last + 1).filter((id) => !known.has(id)).length;
  return { shown: [...kept, ...now.slice(last + 1)], waiting: came + risen(kept, now.filter((id) => known.has(id))) };
}

/** How many stand before something that they stood behind. */
function risen(before, now) {
  const place = new Map(before.map((id, at) => [id, at]));
  let least = Infinity;
  let count = 0;
  for (const id of now.toReversed()) {
    if (place.get(id) > least) count += 1;
    else least = place.get(id);
  }
  return count;
}
