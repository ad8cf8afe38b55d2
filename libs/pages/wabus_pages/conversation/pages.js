// The part of a thread that is loaded: pages beside each other, the oldest first. What is far away is let go. Pure.

export const PAGE = 50; // messages in an answer
const MOST = 8; // pages that are kept
const TRIMMED = 4; // pages that are left of a thread that has grown by what came
const GROWN = 1_000; // messages up to which a thread grows while somebody reads further up

/** A thread as its newest page. */
export function newest(answer) {
  return { pages: [pageOf(answer)], atEnd: true, missed: 0 };
}

/** A thread around a message: there may be newer ones. */
export function middle(answer) {
  return { pages: [pageOf(answer)], atEnd: false, missed: 0 };
}

export function withOlder(thread, answer) {
  const pages = [withoutKnown(pageOf(answer), thread), ...thread.pages];
  const isMore = pages.length > MOST;
  return { ...thread, pages: isMore ? pages.slice(0, MOST) : pages, atEnd: thread.atEnd && !isMore };
}

/** A page that is not full is the last. */
export function withNewer(thread, answer) {
  const atEnd = answer.messages.length < PAGE;
  if (!answer.messages.length) return { ...thread, atEnd, missed: atEnd ? 0 : thread.missed };
  const last = withoutKnown(pageOf(answer), thread);
  // Of a page that has grown by what came all may be there: then only the place from which to go on is new.
  const pages = last.messages.length ? [...thread.pages, last] : thread.pages.with(-1, { ...thread.pages.at(-1), previous: last.previous });
  return { ...thread, pages: pages.slice(-MOST), atEnd, missed: atEnd ? 0 : thread.missed };
}

/** What the end of one page and the beginning of the next both have came while they were asked for. */
function withoutKnown(page, thread) {
  const known = new Set(messagesOf(thread).map(({ message_id }) => message_id));
  return { ...page, messages: page.messages.filter(({ message_id }) => !known.has(message_id)) };
}

/** A thread of whose end somebody looks at, without what has become far away by what came since. */
export function trimmed(thread) {
  const all = messagesOf(thread);
  if (!thread.atEnd || all.length <= MOST * PAGE) return thread;
  const messages = all.slice(-TRIMMED * PAGE);
  return { ...thread, pages: [{ messages, next: { around: messages[0].message_id }, previous: thread.pages.at(-1).previous }] };
}

/** A thread in which these messages are as they are now; those that are new have their place by their time. */
export function withChanged(thread, changed) {
  let { pages, atEnd, missed } = thread;
  for (const message of changed) {
    const at = pages.findIndex((page) => page.messages.some(({ message_id }) => message_id === message.message_id));
    if (at >= 0) {
      const messages = pages[at].messages.map((each) => (each.message_id === message.message_id ? message : each));
      pages = pages.with(at, { ...pages[at], messages });
      continue;
    }
    const all = pages.flatMap((page) => page.messages);
    const isBefore = all.length > 0 && timeOf(message) < timeOf(all[0]);
    const isAfter = !all.length || timeOf(message) >= timeOf(all.at(-1));
    if (isBefore && older(thread)) continue; // it comes with its page
    if (isAfter && (!atEnd || all.length >= GROWN)) {
      atEnd = false;
      missed += 1;
      continue;
    }
    const found = isAfter ? pages.length - 1 : pages.findIndex(({ messages }) => messages.length && timeOf(message) < timeOf(messages.at(-1)));
    const page = found < 0 ? pages.length - 1 : found;
    const { messages } = pages[page];
    let place = messages.length;
    while (place > 0 && timeOf(messages[place - 1]) > timeOf(message)) place -= 1;
    pages = pages.with(page, { ...pages[page], messages: messages.toSpliced(place, 0, message) });
  }
  return { ...thread, pages, atEnd, missed };
}

export const messagesOf = (thread) => thread.pages.flatMap((page) => page.messages);

/** `after` of the messages before those that are loaded, or what else to ask for them; null where there are none. */
export const older = (thread) => thread.pages[0].next;

/** `before` of the messages after those that are loaded. */
export const newer = (thread) => thread.pages.at(-1).previous;

function pageOf({ messages, next, previous }) {
  return { messages: messages.toReversed(), next, previous };
}

const timeOf = ({ at }) => Date.parse(at);
