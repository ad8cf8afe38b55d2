// Keeps the page up to date: the live stream of health, and asking again where there is none or it broke.

import { Refused, SignedOut, open } from "./api.js";

const POLL = 3_000; // ms between questions while there is no stream
const SILENCE = 40_000; // ms without a byte (the heartbeat is every 15 s) until a stream counts as dead
const RETRY_MAX = 10_000; // ms
const STREAM_AGAIN = 60_000; // ms until a server without a stream is asked for one again
const HIDDEN_POLL = 30_000; // ms while nobody looks

/**
 * Follow the health until signed out, or until the function that is returned is called. `onHealth` gets each answer,
 * `poll` asks for one, `onState` hears `live`, `polling` or `lost`.
 */
export function follow({ onHealth, onState, onSignedOut, poll }) {
  let stopped = false;
  async function run() {
    let lastId = null;
    let failures = 0; // questions in a row without an answer
    let broken = 0; // streams in a row that did not last
    let streamAt = 0;
    while (!stopped) {
      try {
        if (performance.now() >= streamAt) {
          const ended = await stream(lastId, () => stopped || onState("live"), (event) => {
            lastId = event.id ?? lastId;
            failures = 0;
            if (event.name === "health" && !stopped) onHealth(JSON.parse(event.data));
          });
          broken = ended === "broken" ? broken + 1 : 0;
          const wait = { lasted: 0, broken: Math.min(POLL * 2 ** broken, STREAM_AGAIN), missing: STREAM_AGAIN }[ended];
          streamAt = performance.now() + wait;
        }
        if (stopped) return;
        await poll();
        if (stopped) return;
        if (failures) streamAt = 0; // it is back: perhaps the stream is too
        failures = 0;
        if (performance.now() >= streamAt) continue;
        onState("polling");
        await pause(document.hidden ? HIDDEN_POLL : POLL);
      } catch (error) {
        if (stopped) return;
        if (error instanceof SignedOut) return onSignedOut();
        failures += 1;
        streamAt = 0;
        onState("lost");
        await pause(Math.min(500 * 2 ** failures, RETRY_MAX) * (0.5 + Math.random() / 2));
      }
    }
  }
  run();
  return () => {
    stopped = true;
    hangUp();
    wake();
  };
}

let wake = () => {};
let hangUp = () => {};
addEventListener("offline", () => hangUp());
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => document.hidden || wake());

function pause(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => (clearTimeout(timer), resolve());
  });
}

/** Don't wait any longer before the next try. */
export function tryNow() {
  wake();
}

/** Read the stream to its end. Returns how it ended: `missing`, `broken` or, after a while, `lasted`. */
async function stream(lastId, onOpen, onEvent) {
  const stopping = new AbortController();
  hangUp = () => stopping.abort();
  const begun = performance.now();
  let watchdog = setTimeout(() => stopping.abort(), SILENCE);
  try {
    const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
    const answer = await open("/webhook/health/stream", { headers, signal: stopping.signal, cache: "no-store" });
    if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) return "missing";
    onOpen();
    const read = parser(onEvent);
    for await (const text of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stopping.abort(), SILENCE);
      read(text);
    }
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    if (error instanceof Refused && [404, 405, 406, 501].includes(error.status)) return "missing";
  } finally {
    clearTimeout(watchdog);
    stopping.abort();
  }
  return performance.now() - begun > POLL ? "lasted" : "broken";
}

async function* chunks(readable) {
  const reader = readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** A function that takes text as it arrives and gives each whole event (HTML standard, "Server-sent events"). */
export function parser(onEvent) {
  let rest = "";
  let event = { name: "message", data: [], id: null };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?=[^])/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) onEvent({ ...event, data: event.data.join("\n") });
        event = { name: "message", data: [], id: null };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") event.data.push(value);
      else if (field === "event") event.name = value;
      else if (field === "id" && !value.includes("\0")) event.id = value;
    }
  };
}
