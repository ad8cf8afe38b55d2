// The keys: each does what a button does too, and those without Ctrl or Alt can be switched off (WCAG 2.1.4).

const KEYS = [
  { keys: ["j"], also: ["k"], text: "The next conversation, the one before" },
  { keys: ["Alt+↓"], also: ["Alt+↑"], text: "The same while you write" },
  { keys: ["/"], text: "Search" },
  { keys: ["r"], text: "Write an answer" },
  { keys: ["q"], text: "Quote the newest message, or the one that you are on" },
  { keys: ["t"], text: "Choose a template" },
  { keys: ["u"], text: "Unread ones only, and all again" },
  { keys: ["i"], text: "Who this is" },
  { keys: ["a"], text: "Take this conversation, or give it back" },
  { keys: ["e"], text: "Close it, or open it again" },
  { keys: ["m"], text: "Mark it as unread" },
  { keys: ["g"], text: "The newest message" },
  { keys: ["↑"], also: ["↓"], text: "From row to row, from message to message" },
  { keys: ["F6"], text: "The next part of the page" },
  { keys: ["Ctrl+B"], also: ["Ctrl+I"], text: "Bold, italic" },
  { keys: ["Ctrl+Enter"], text: "Send" },
  { keys: ["Esc"], text: "Back: from a quote, a search, a pane" },
  { keys: ["?"], text: "This sheet" },
];

const SWITCH = "wabus.inbox.keys";

export const hasSingleKeys = () => localStorage.getItem(SWITCH) !== "off";

export function setSingleKeys(are) {
  localStorage.setItem(SWITCH, are ? "on" : "off");
}

export const keys = () => KEYS;

/** What a key asks for where it is pressed; null for nothing of ours. `isWriting` is whether it goes into a field. Pure. */
export function wanted({ key, altKey, ctrlKey, metaKey, shiftKey }, { isWriting, singleKeys }) {
  if (key === "Escape") return "back";
  if (key === "F6") return shiftKey ? "pane-before" : "pane-after";
  if (altKey && !ctrlKey && !metaKey) return { ArrowDown: "next", ArrowUp: "previous" }[key] ?? null;
  if (altKey || ctrlKey || metaKey || isWriting || !singleKeys) return null;
  return { j: "next", k: "previous", "/": "search", r: "answer", q: "quote", t: "template", u: "unread", i: "contact", a: "mine", e: "done", m: "mark-unread", g: "end", "?": "keys" }[key] ?? null;
}
