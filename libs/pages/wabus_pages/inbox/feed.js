// Follows what changes, by a WebSocket: told from where it had got to, so that nothing is missed and nothing asked twice.

import { Refused, SignedOut, call } from "../shared/api.js";

const FIRST_WAIT = 500; // ms until it is tried again
const LONGEST_WAIT = 15_000; // ms
const OPENING = 15_000; // ms that a connection may take to say its first word
const SILENT = 2.5; // heartbeats without a word until a connection counts as dead

/**
 * Follow until signed out or stopped. `onAnew` hears that all has to be loaded, and why, `onChange` and `onRemoved` each frame of
 * that type, `onLooking` what a colleague does just now, `onState` hears `live` or `lost`, `onNotAllowed` that this person may not read conversations.
 */
export function follow({ onAnew, onChange, onRemoved, onLooking, onState, onSignedOut, onNotAllowed }) {
  let stopped = false;
  let cursor = null;
  let socket = null;
  let wake = () => {};

  async function run() {
    let failures = 0;
    while (!stopped) {
      let retry = null;
      try {
        const { ticket } = await call("/stream-tickets", { method: "POST" });
        if (stopped) return;
        retry = await listen(ticket, () => (failures = 0));
      } catch (error) {
        if (stopped) return;
        if (error instanceof SignedOut) return onSignedOut();
        if (error instanceof Refused && error.status === 403) return onNotAllowed(error);
      }
      if (stopped) return;
      onState("lost");
      await pause(retry ?? Math.min(FIRST_WAIT * 2 ** failures, LONGEST_WAIT) * (0.5 + Math.random() / 2));
      failures += 1;
    }
  }

  /** Take frames until the connection ends. Returns the milliseconds to wait that it has said, if it has. */
  function listen(ticket, onFirst) {
    return new Promise((resolve) => {
      const address = new URL(`/conversations/ws?${new URLSearchParams(cursor ? { ticket, cursor } : { ticket })}`, location.href);
      address.protocol = address.protocol.replace("http", "ws");
      socket = new WebSocket(address);
      let retry = null;
      let silence = OPENING;
      let watchdog = setTimeout(end, silence);
      function end() {
        clearTimeout(watchdog);
        if (socket === null) return;
        socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
        socket = null;
        resolve(retry);
      }
      socket.onclose = end;
      socket.onerror = end;
      socket.hangUp = end;
      socket.onmessage = ({ data }) => {
        clearTimeout(watchdog);
        const frame = JSON.parse(data);
        if (frame.type === "hello") {
          silence = (frame.heartbeat ?? 15) * 1000 * SILENT;
          onFirst();
          onState("live");
        }
        watchdog = setTimeout(end, silence);
        if (frame.type === "reset" || (frame.type === "hello" && !(cursor && frame.resumed))) onAnew(frame);
        if (frame.type === "change") onChange(frame);
        if (frame.type === "removed") onRemoved(frame);
        if (frame.type === "looking") onLooking(frame);
        if (frame.type === "bye") retry = frame.reason === "token_expired" ? 0 : (frame.retry_ms ?? null);
        cursor = frame.cursor ?? cursor;
      };
    });
  }

  function pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => (clearTimeout(timer), resolve());
    });
  }

  const offline = () => socket?.hangUp?.();
  const online = () => wake();
  const seen = () => document.hidden || wake();
  addEventListener("offline", offline);
  addEventListener("online", online);
  document.addEventListener("visibilitychange", seen);
  run();
  return {
    tryNow: () => wake(),
    stop() {
      stopped = true;
      removeEventListener("offline", offline);
      removeEventListener("online", online);
      document.removeEventListener("visibilitychange", seen);
      offline();
      wake();
    },
  };
}
