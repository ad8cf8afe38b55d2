// What colleagues do with a conversation: who has it, whether anything is to be done, tags and notes. (docs/conversations.md)

import { Refused, Unreachable, SignedOut, call } from "../shared/api.js";
import { h, icon } from "../shared/dom.js";
import { ago, dated } from "../shared/time.js";
import { toast } from "../shared/toasts.js";
import { named, upright } from "../shared/words.js";
import { change, state, take, takeRemoved } from "./store.js";

const HOUR = 3_600_000; // ms
const MORNING = 9; // o'clock
const NOTES = 50; // in an answer
const NO_NOTES = { of: "", notes: null, next: null, failed: false };

let teams = null;
let notes = NO_NOTES;

export function forgetWork() {
  teams = null;
  notes = NO_NOTES;
}

/** Ask for something to be done with a conversation. Returns whether it is; who was faster is named. */
export async function act(conversation_id, what, body = {}) {
  try {
    const answer = await call(`/conversations/${conversation_id}/${what}`, { method: "POST", body, headers: { "Idempotency-Key": crypto.randomUUID() } });
    // Who gives it away may have been told already that they do not see it any more.
    if (state.conversations.has(answer.conversation_id)) take(answer);
    change({});
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "taken") throw error;
    const holder = error.problem.work?.agent ?? error.problem.work?.bot;
    toast("bad", ...(holder ? [named(holder), " was faster and has this conversation."] : [error.message]));
    await lookAgain(conversation_id);
    return false;
  }
}

async function lookAgain(conversation_id) {
  try {
    take(await call(`/conversations/${conversation_id}`));
    change({});
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    takeRemoved({ conversation_id, merged_into: null, reason: "out_of_sight" });
  }
}

/** Give a conversation to `agent me`, `agent …`, `team …` or `nobody`. What somebody has is taken only from who is known to have it. */
export function assign({ conversation_id, work }, whom) {
  const [kind, ...rest] = whom.split(" ");
  const to = kind === "nobody" ? {} : { [kind]: rest.join(" ") };
  const instead = work.agent ?? work.bot;
  return act(conversation_id, "assign", { ...to, ...(instead ? { instead_of: instead } : {}) });
}

/** When a conversation that is put off comes back. Pure. */
export function moments(now) {
  const at = (days) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, MORNING);
  const toMonday = (8 - now.getDay()) % 7 || 7;
  return [["In an hour", new Date(now.getTime() + HOUR)], ["In three hours", new Date(now.getTime() + 3 * HOUR)], ["Tomorrow", at(1)], ["On Monday", at(toMonday)]];
}

/* ---- in the head of the thread ---- */

/** Who has it, and what can be done with it. `me` is the `sub` of whoever looks. */
export function workBar({ conversation_id, work }, me) {
  if (!teams) askTeams();
  const isOpen = work.state === "open";
  return h("div", { class: "work", role: "group", "aria-label": "Work", "data-key": "work" },
    h("label", { class: "work-select" }, h("span", { class: "unseen" }, "Who has it"), h("select", { "data-work": "assign", "data-current": holder(work, me), "data-conversation": conversation_id, "data-key": conversation_id }, options(work, me))),
    isOpen ? h("label", { class: "work-select" }, h("span", { class: "unseen" }, "Put it off"), h("select", { "data-work": "snooze", "data-current": "", "data-conversation": conversation_id, "data-key": `snooze ${conversation_id}` },
      h("option", { value: "" }, "Put off…"), moments(new Date()).map(([name], at) => h("option", { value: String(at) }, name)))) : null,
    h("button", { class: "button quiet small", type: "button", "data-action": isOpen ? "close-conversation" : "reopen-conversation", "data-conversation": conversation_id, "data-key": "state" }, icon(isOpen ? "check" : "back"), isOpen ? "Close" : "Open again"));
}

/** Have the fields say what is, whatever was chosen in them before. */
export function settle(root) {
  for (const select of root.querySelectorAll("select[data-work]")) {
    if (select !== document.activeElement && select.value !== select.dataset.current) select.value = select.dataset.current;
  }
}

function holder({ agent, bot, team }, me) {
  if (agent) return agent === me ? "agent me" : `agent ${agent}`;
  return bot ? `bot ${bot}` : team ? `team ${team}` : "nobody";
}

function options({ agent, bot, team }, me) {
  const option = (value, text) => h("option", { value }, upright(text));
  const colleagues = new Set((teams ?? []).flatMap(({ members }) => members.map(({ sub }) => sub)));
  if (agent) colleagues.add(agent);
  colleagues.delete(me);
  return [
    option("nobody", "Nobody has it"), me ? option("agent me", "I have it") : null, bot ? option(`bot ${bot}`, `${bot} (a program)`) : null,
    [...colleagues].sort().map((sub) => option(`agent ${sub}`, sub)),
    (teams ?? []).map(({ team_id, name }) => option(`team ${team_id}`, `Team ${name}`)),
    team && !teams?.some(({ team_id }) => team_id === team) ? option(`team ${team}`, `Team ${team}`) : null,
  ];
}

async function askTeams() {
  teams = [];
  try {
    ({ teams } = await call("/teams"));
    change({});
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
  }
}

/** One line about a conversation that nobody has to look at now. */
export function workNote({ work }) {
  if (work.state === "snoozed") return ["Put off until ", dated(work.snoozed_until)];
  return work.state === "closed" ? ["Closed", ...(work.put_by ? [" by ", named(work.put_by)] : []), work.put_at ? `, ${dated(work.put_at)}` : null] : null;
}

/* ---- beside who it is ---- */

export function workPane({ conversation_id, work }, { me, isAdmin, now }) {
  askNotes(conversation_id, work.notes);
  return [
    h("section", { class: "contact-more", "data-key": "tags" }, h("h3", {}, "Tags"),
      work.tags.length ? h("ul", { class: "tags" }, work.tags.map((tag) => h("li", { class: "tag", "data-key": tag }, named(tag),
        h("button", { type: "button", "data-action": "remove-tag", "data-conversation": conversation_id, "data-tag": tag, "aria-label": `Take the tag ${upright(tag)} away` }, icon("cross"))))) : null,
      h("form", { class: "small-form", "data-form": "tag", "data-conversation": conversation_id, "data-key": `tag ${conversation_id}` }, h("input", { name: "tag", "aria-label": "New tag", placeholder: "New tag", maxlength: "50", autocomplete: "off" }), h("button", { class: "button quiet small" }, "Add"))),
    h("section", { class: "contact-more", "data-key": "notes" }, h("h3", {}, "Notes"),
      h("form", { class: "small-form", "data-form": "note", "data-conversation": conversation_id, "data-key": `note ${conversation_id}` }, h("textarea", { name: "note", rows: "2", "aria-label": "New note for colleagues", placeholder: "For colleagues only", maxlength: "4096", dir: "auto" }), h("button", { class: "button quiet small" }, "Add")),
      notes.failed ? h("p", { class: "error", role: "alert" }, "Notes can't be shown right now.") : null,
      h("ul", { class: "notes" }, (notes.of === conversation_id ? (notes.notes ?? []) : []).map(({ note_id, at, author, text }) => h("li", { class: "note-line", "data-key": note_id },
        h("p", { dir: "auto" }, text),
        h("p", { class: "fine" }, h("span", {}, author ? named(author) : "Somebody", ","), ago(at, now), author === me || isAdmin ? h("button", { class: "button text flush", type: "button", "data-action": "remove-note", "data-conversation": conversation_id, "data-note": note_id }, "Delete") : null))))),
  ];
}

let asking = "";

async function askNotes(conversation_id, count) {
  const wanted = `${conversation_id} ${count}`;
  if (asking === wanted) return;
  asking = wanted;
  try {
    const answer = count ? await call(`/conversations/${conversation_id}/notes?limit=${NOTES}`) : { notes: [] };
    if (asking === wanted) notes = { ...NO_NOTES, of: conversation_id, notes: answer.notes };
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable || error instanceof SignedOut)) throw error;
    if (asking === wanted) notes = { ...NO_NOTES, of: conversation_id, failed: true };
  }
  if (state.selected === conversation_id) change({});
}

export async function removeNote(conversation_id, note_id) {
  await call(`/conversations/${conversation_id}/notes/${note_id}`, { method: "DELETE" });
  asking = "";
  change({});
}

/** Close, with a way back for who did not mean it. */
export async function close(conversation_id, message_id) {
  const before = holder(state.conversations.get(conversation_id).work);
  const isDone = await act(conversation_id, "close", message_id ? { message_id } : {});
  if (isDone) toast("good", "Closed until the person writes again. ", h("button", { class: "button text flush", type: "button", "data-action": "undo-close", "data-conversation": conversation_id, "data-holder": before }, "Undo"));
  return isDone;
}

/** Open what was closed, and give it back to who had it. A program takes what it wants by itself. */
export async function reopen(conversation_id, before) {
  await act(conversation_id, "reopen");
  if (/^(agent|team) /.test(before)) await assign(state.conversations.get(conversation_id), before);
}

