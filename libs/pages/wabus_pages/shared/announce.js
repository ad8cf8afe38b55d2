// Tells screen readers what changed, one sentence after the other: what comes within a second is said together.

const JOINED = 1_000; // ms in which news are collected
let waiting = [];
let timer = null;

/** Say these sentences soon. A `topic` that comes again before it was said takes the place of the one before. */
export function announce(sentence, topic = sentence) {
  if (!sentence) return;
  waiting = [...waiting.filter((each) => each.topic !== topic), { topic, sentence }];
  timer ??= setTimeout(say, JOINED);
}

/** Say nothing of what was waiting, and leave nothing that was said. */
export function fallSilent() {
  clearTimeout(timer);
  timer = null;
  waiting = [];
  region().textContent = "";
}

function say() {
  timer = null;
  const text = waiting.map(({ sentence }) => sentence).join(" ");
  waiting = [];
  // The same text again is no change, and would not be said.
  region().textContent = region().textContent === text ? `${text}\u00a0` : text;
}

function region() {
  return document.getElementById("announcer");
}
