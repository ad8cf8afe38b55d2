// Who a conversation is with: what they are known by, what they want, where else they wrote; and, for administrators, forgetting.

import { copyButton } from "../shared/copy.js";
import { h, icon } from "../shared/dom.js";
import { ago, day } from "../shared/time.js";
import { named, plain } from "../shared/words.js";
import { initials, left, nameOf, phoneNumber, shortTime, windowAt } from "./words.js";

/** The pane's content. */
export function contactPane(state, { conversation, numbers, isAdmin, work, me, now = Date.now() }) {
  if (!conversation) return null;
  const name = nameOf(conversation);
  return [
    h("div", { class: "contact-head", "data-key": "head" },
      h("span", { class: "avatar large", "aria-hidden": "true" }, conversation.contact ? initials(name) : icon("people")),
      h("h2", { id: "contact-name", tabindex: "-1" }, named(name))),
    work && conversation.work ? work.workPane(conversation, { me, isAdmin, now }) : null,
    conversation.contact ? person(state, conversation, numbers, isAdmin, now) : h("p", { class: "muted", "data-key": "group" }, "A group. Who is in it is seen in WhatsApp."),
  ];
}

function person(state, conversation, numbers, isAdmin, now) {
  const { contact, contactState } = state;
  if (contactState === "failed") return h("p", { class: "error", role: "alert", "data-key": "failed" }, "More can't be shown right now. ", h("button", { class: "button text flush", type: "button", "data-action": "retry-contact" }, "Try again"));
  const known = contact ?? conversation.contact;
  return [
    h("dl", { class: "facts", "data-key": "facts" },
      known.name && known.book_name ? fact("Calls themself", named(known.name)) : null,
      known.username ? fact("Username", h("bdi", {}, `@${String(known.username).replace(/^@/, "")}`)) : null,
      known.numbers.length ? fact("Number", known.numbers.map((number) => h("span", { class: "copied" }, h("bdi", {}, phoneNumber(number)), copyButton(`+${number}`, "the number")))) : fact("Number", h("span", { class: "muted" }, "Not shown to businesses")),
      fact("Window", windowWords(conversation, now)),
      conversation.thread_owner?.ours === false ? fact("Answered by", "another responder at present") : null,
      ...(contact?.preferences ?? []).filter(({ phone_number_id }) => phone_number_id === conversation.phone_number_id).map(({ category, wants_marketing, choice, at }) =>
        fact(category.includes("marketing") ? "Marketing" : plain(category), wants_marketing === false ? "Wants none" : wants_marketing ? "Wants it" : plain(choice ?? "unknown"), h("span", { class: "muted" }, ago(at, now)))),
      contact ? fact("First seen", day(contact.first_seen)) : null,
      earlier(contact)),
    others(state, conversation, contact, numbers, now),
    isAdmin && contact ? h("div", { class: "contact-danger", "data-key": "forget" }, h("button", { class: "button text danger-text", type: "button", "data-action": "forget", "data-contact": contact.contact_id }, "Forget this person…")) : null,
  ];
}

function fact(name, ...values) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, values));
}

function windowWords(conversation, now) {
  const { state, left: ms } = windowAt(conversation, now);
  if (state === "open") return ms === null ? "Open" : `Open, ${left(ms)} left`;
  return state === "maybe" ? "Perhaps open: WhatsApp decides" : "Closed: templates only";
}

function earlier(contact) {
  const former = contact?.identifiers.filter(({ current, kind }) => !current && kind === "wa_id") ?? [];
  return former.length ? fact("Had before", former.map(({ value }) => h("bdi", {}, phoneNumber(value)))) : null;
}

function others(state, conversation, contact, numbers, now) {
  const all = (contact?.conversations ?? []).filter(({ conversation_id }) => conversation_id !== conversation.conversation_id);
  if (!all.length) return null;
  return h("section", { class: "contact-more", "data-key": "others" }, h("h3", {}, "Other conversations"),
    h("ul", {}, all.map(({ conversation_id, phone_number_id, last_activity_at }) => {
      const number = numbers.get(phone_number_id);
      const at = last_activity_at ?? state.conversations.get(conversation_id)?.sorted_at;
      return h("li", { "data-key": conversation_id }, h("a", { class: "other", href: `/inbox?c=${conversation_id}`, "data-action": "open", "data-conversation": conversation_id },
        h("span", { class: "grow" }, "With ", named(number?.verified_name ?? "another number"), number?.display_phone_number ? h("span", { class: "fine" }, " ", h("bdi", {}, number.display_phone_number)) : null), at ? h("span", { class: "fine" }, shortTime(at, now)) : null));
    })));
}
