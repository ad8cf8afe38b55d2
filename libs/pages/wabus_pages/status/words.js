// The words and looks of each status on this page.

import { number, plain } from "../shared/words.js";

export const OVERALL = {
  healthy: { kind: "good", glyph: "check", text: "Healthy", title: "Everything is working", are: "working" },
  pending: { kind: "wait", glyph: "clock", text: "Setting up", title: "Almost there", are: "being set up" },
  degraded: { kind: "wait", glyph: "alert", text: "Needs attention", title: "Working, but something needs you", are: "need attention" },
  failing: { kind: "bad", glyph: "cross", text: "Not working", title: "WhatsApp is not working right now", are: "not working" },
};
export const PARTIAL = { kind: "bad", glyph: "alert", text: "Works in part", title: "WhatsApp works only in part", are: "working in part only" };
export const NOT_CONNECTED = "Not connected yet";

export const SEVERITY = {
  failing: { kind: "bad", glyph: "cross", text: "Problem" },
  degraded: { kind: "wait", glyph: "alert", text: "Warning" },
  pending: { kind: "wait", glyph: "clock", text: "In progress" },
  notice: { kind: "plain", glyph: "info", text: "Good to know" },
};

export const SYNC = {
  synced: { kind: "good", glyph: "check", text: "Up to date" },
  syncing: { kind: "wait", glyph: "sync", text: "Syncing" },
  never: { kind: "wait", glyph: "clock", text: "Not synced yet" },
  failed: { kind: "bad", glyph: "cross", text: "Last sync failed" },
  cut_off: { kind: "bad", glyph: "cross", text: "No access" },
};

/** Meta's "Messaging limits": customers that the business may start a conversation with, in 24 hours. */
export function limit(tier) {
  if (!tier || tier === "TIER_NOT_SET") return "Limit not known yet";
  const size = tier.replace("TIER_", "");
  if (size === "UNLIMITED") return "Can start chats with any number of customers";
  const count = Number(size.replace("K", "")) * (size.endsWith("K") ? 1000 : 1);
  return Number.isFinite(count) ? `Can start chats with ${number(count)} customers in 24 h` : plain(tier);
}

const PLACES = [
  ["wa.me", "Send a message"],
  ["/business-support-home", "Open Business Support Home"],
  ["/billing_hub", "Open Billing Hub"],
  ["/wa/manage/", "Open WhatsApp Manager"],
  ["/error-codes", "Look the error up"],
  ["developers.facebook.com/apps", "Open App Dashboard"],
];

/** What a link of the API's leads to. */
export function placeOf(href) {
  return PLACES.find(([part]) => href.includes(part))?.[1] ?? "Open Meta";
}
