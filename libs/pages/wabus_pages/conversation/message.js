// One message of a thread, whatever Meta says that it is: nothing about its shape is taken for granted.

import { h, icon } from "../shared/dom.js";
import { clock, exact } from "../shared/time.js";
import { named, plain, upright } from "../shared/words.js";
import { kindOf, phoneNumber, ticks } from "../inbox/words.js";
import { paragraph, rich } from "./text.js";

const ITEMS = 20; // products of an order that are listed
const SIZES = ["bytes", "kB", "MB"];
const LOST = {
  wanted: "It is being fetched from WhatsApp…",
  lost: "WhatsApp has it no more, so it can't be shown.",
  refused: "It was not kept: it is too large, or not what its sender's WhatsApp says.",
  gone: "It was deleted with its message.",
};

/**
 * A line of the thread. `context` has `isFirst` of a group of the same side, `who` writes, `template` (name, language) to
 * find one that is known, `unfolded` (messages shown whole) and `mayAnswer`.
 */
export function line(message, context) {
  if (message.kind === "system") return notice(message);
  const { direction, state } = message;
  const isOut = direction === "out";
  const said = message.revoked_at ? [h("p", { class: "body gone" }, icon("cross"), "This message was deleted")] : content(message, context);
  return h("li", { class: `line ${direction}${context.isFirst ? " first" : ""}`, "data-message": message.message_id },
    h("div", { class: "balloon", tabindex: "-1", role: "group", "aria-label": labelOf(message, context), "data-message": message.message_id },
      message.sender && context.isFirst ? h("p", { class: "sender" }, named(message.sender.name || "Somebody")) : null,
      message.reply_to && !message.revoked_at ? quote(message.reply_to, context) : null,
      said,
      h("p", { class: "foot" },
        message.source === "echo" ? h("span", {}, "from the phone") : message.source === "standby" ? h("span", {}, "another responder") : null,
        message.edited_at && !message.revoked_at ? h("span", { title: `Edited ${exact(message.edited_at)}` }, "edited") : null,
        h("time", { datetime: message.at, title: exact(message.at) }, clock(message.at)),
        isOut ? tick(message.failure && !message.failure.note ? "failed" : state) : null),
      reactions(message)),
    message.failure ? failure(message, context) : null);
}

/** Who says what when, for who listens: the text follows by itself. */
function labelOf(message, { who }) {
  const from = message.direction === "out" ? "You" : upright(message.sender?.name || who);
  const at = clock(message.at);
  const state = message.direction === "out" ? ticks(message.failure && !message.failure.note ? "failed" : message.state)?.text : null;
  return [from, at, state].filter(Boolean).join(", ");
}

export function tick(state) {
  const found = ticks(state);
  return found ? h("span", { class: `tick ${found.state}`, title: found.text }, icon(found.glyph), h("span", { class: "unseen" }, found.text)) : null;
}

function quote({ message_id, here, direction, type, text }, { who }) {
  const words = here ? [h("span", { class: "quote-who" }, direction === "out" ? "You" : named(who)), h("span", { class: "quote-text", dir: "auto" }, upright(text ?? "").slice(0, 200) || kindOf(type))]
    : [h("span", { class: "quote-text" }, "A message that is not kept here")];
  return here ? h("button", { class: "quote", type: "button", tabindex: "-1", "data-action": "go-to", "data-message": message_id }, words) : h("div", { class: "quote" }, words);
}

function reactions({ reactions: all, message_id }) {
  if (!all?.length) return null;
  const counted = new Map();
  for (const { emoji, by } of all) counted.set(emoji, { count: (counted.get(emoji)?.count ?? 0) + 1, ours: counted.get(emoji)?.ours || by === "business" });
  return h("p", { class: "reactions" }, [...counted].map(([emoji, { count, ours }]) =>
    h("span", { class: ours ? "ours" : null, "data-message": message_id }, emoji, count > 1 ? ` ${count}` : null, h("span", { class: "unseen" }, ours ? " from you " : " reaction "))));
}

function failure({ failure: { note, errors }, message_id, type, direction }) {
  const reasons = errors.map(({ meaning, details, title, message, remedy, code }) => ({ what: meaning ?? details ?? title ?? message ?? (code ? `WhatsApp's error ${code}.` : null), remedy }));
  const [first = { what: null, remedy: null }] = reasons.filter(({ what }) => what);
  const text = note ? `It has arrived, but not on every device${first.what ? `: ${first.what}` : "."}` : (first.what ?? "WhatsApp could not deliver it, and does not say why.");
  return h("div", { class: `failure ${note ? "wait" : "bad"}` }, icon("alert"),
    h("p", { class: "grow" }, h("span", { dir: "auto" }, text), first.remedy ? [" ", h("span", { class: "remedy" }, first.remedy)] : null),
    !note && direction === "out" && type === "text" ? h("button", { class: "button text", type: "button", "data-action": "repeat", "data-message": message_id }, "Send again") : null);
}

function notice(message) {
  const text = message.text ?? (message.type === "request_welcome" ? "Opened this chat for the first time." : kindOf(message.type));
  return h("li", { class: "divider notice" }, h("span", { dir: "auto" }, upright(text)), " ", h("time", { datetime: message.at, title: exact(message.at) }, clock(message.at)));
}

/* ---- what is in it ---- */

function content(message, context) {
  const { kind, type, medium } = message;
  const told = object(message.content);
  if (kind === "call") return call(message, told);
  const part = object(told[type]);
  const words = (text) => (text ? paragraph(String(text), { open: context.unfolded.has(message.message_id), id: message.message_id }) : []);
  const ad = object(told.referral);
  const before = Object.keys(ad).length ? [referral(ad)] : [];
  switch (type) {
    case "text":
      return [...before, ...words(part.body ?? message.text ?? "")];
    case "image":
    case "video":
    case "audio":
    case "document":
    case "sticker":
      return [...before, attachment(type, medium, part, message), ...words(part.caption)];
    case "location":
      return [location(part)];
    case "contacts":
      return list(told.contacts).slice(0, ITEMS).map(card);
    case "order":
      return [order(part), ...words(part.text)];
    case "button":
      return [h("p", { class: "answered" }, icon("reply"), h("span", { dir: "auto" }, upright(part.text ?? message.text ?? "")))];
    case "interactive":
      return interactive(part, message, words);
    case "template":
      return template(part, context, message);
    case "unsupported":
    case "unknown":
      return [h("p", { class: "body muted" }, icon("info"), "WhatsApp does not pass this kind of message on. Ask the person to send it otherwise.")];
    case "media_placeholder":
      return [h("p", { class: "body muted" }, icon("image"), "A photo or file of before the connection. It may still come.")];
    default:
      return message.text ? words(message.text) : [h("p", { class: "body muted" }, icon("info"), message.content ? `${kindOf(type)}: this page can't show it.` : `${kindOf(type)}: its content was never told.`)];
  }
}

function referral({ headline, body, source_url }) {
  return h("div", { class: "referral" }, h("span", { class: "label" }, "Came by an advertisement"),
    headline ? h("strong", { dir: "auto" }, upright(headline)) : null, body ? h("span", { dir: "auto" }, upright(body)) : null,
    typeof source_url === "string" && /^https?:/.test(source_url) ? h("span", {}, rich(source_url)) : null);
}

function attachment(type, medium, part, message) {
  const name = upright(medium?.name ?? part.filename ?? "") || kindOf(type);
  if (!medium || medium.state !== "stored") {
    const why = medium ? LOST[medium.state] : message.direction === "out" ? "Sent by you." : LOST.wanted;
    return h("div", { class: "file" }, icon(iconOf(type)), h("span", { class: "grow" }, h("bdi", { class: "one-line" }, name), h("span", { class: "fine" }, why)));
  }
  const { media_id, shown } = medium;
  const attributes = { "data-medium": media_id };
  if (shown && (type === "image" || type === "sticker")) {
    const alt = part.caption ? `${kindOf(type)}: ${upright(part.caption).slice(0, 200)}` : kindOf(type);
    return h("div", { class: `shown-medium ${type}` }, h("button", { class: "picture", type: "button", tabindex: "-1", "data-action": "show-picture", "data-medium-id": media_id, "data-name": name, "aria-label": `Show large: ${alt}` },
      h("img", { ...attributes, alt: "", decoding: "async" })), brokenNote(media_id, name));
  }
  if (shown && type === "video") return h("div", { class: "shown-medium video" }, h("video", { ...attributes, controls: true, preload: "metadata", "aria-label": kindOf(type) }), brokenNote(media_id, name));
  if (shown && type === "audio") {
    return h("div", { class: "shown-medium audio" }, h("audio", { ...attributes, controls: true, preload: "none", "aria-label": part.voice ? "Voice message" : "Sound" }), brokenNote(media_id, name));
  }
  const doubt = medium.type_as_told === false ? "It is not what its sender says. Be careful with it." : null;
  return h("div", { class: "file" }, icon(iconOf(type)),
    h("span", { class: "grow" }, h("bdi", { class: "one-line", title: name }, name), h("span", { class: "fine" }, size(medium.bytes)), doubt ? h("span", { class: "fine doubt" }, doubt) : null),
    saveButton("button quiet small", media_id, name));
}

const brokenNote = (media_id, name) => h("p", { class: "fine broken-note" }, "It can't be shown here. ", saveButton("button text flush", media_id, name));
const saveButton = (look, media_id, name) => h("button", { class: look, type: "button", "data-action": "save-medium", "data-medium-id": media_id, "data-name": name, "aria-label": `Save ${name}` }, "Save");
const iconOf = (type) => ({ image: "image", sticker: "image", video: "video", audio: "audio" })[type] ?? "document";

function size(bytes) {
  if (!bytes) return "";
  const step = Math.min(2, Math.floor(Math.log10(bytes) / 3));
  return `${step ? (bytes / 1000 ** step).toFixed(1) : bytes} ${SIZES[step]}`;
}

function location({ latitude, longitude, name, address }) {
  const [lat, long] = [Number(latitude), Number(longitude)];
  const isPlace = Number.isFinite(lat) && Number.isFinite(long) && latitude !== undefined;
  const words = isPlace ? `${lat.toFixed(5)}, ${long.toFixed(5)}` : "Its place was not told";
  return h("div", { class: "file place" }, icon("place"), h("span", { class: "grow" },
    h("strong", { dir: "auto" }, upright(name ?? "") || "Location"), address ? h("span", { dir: "auto" }, upright(address)) : null,
    isPlace ? h("a", { class: "fine", href: `geo:${lat},${long}` }, words) : h("span", { class: "fine" }, words)));
}

function card(told) {
  const name = upright(object(told.name).formatted_name ?? "") || "Contact";
  return h("div", { class: "file" }, icon("person"), h("span", { class: "grow" }, h("strong", { dir: "auto" }, name),
    list(told.phones).slice(0, 5).map(({ phone, wa_id }) => linkTo("tel:", String(phone ?? wa_id ?? "").replace(/[^\d+]/g, ""), phone ?? phoneNumber(wa_id))),
    list(told.emails).slice(0, 5).map(({ email }) => linkTo("mailto:", /^[^\s@?&]+@[^\s@?&]+$/.test(email ?? "") ? encodeURI(email) : "", email))));
}

function linkTo(scheme, address, shown) {
  const text = upright(shown ?? "");
  return address ? h("a", { class: "fine", href: scheme + address }, h("bdi", {}, text)) : h("bdi", { class: "fine" }, text);
}

function order({ product_items }) {
  const items = list(product_items);
  const currency = items.map((item) => item.currency).find((each) => /^[A-Z]{3}$/.test(each ?? ""));
  const money = (amount) => (currency ? new Intl.NumberFormat("en", { style: "currency", currency }).format(amount) : String(amount));
  const total = items.reduce((sum, { quantity, item_price }) => sum + (Number(quantity) || 0) * (Number(item_price) || 0), 0);
  return h("div", { class: "order" }, h("strong", {}, icon("cart"), "Order"),
    h("ul", {}, items.slice(0, ITEMS).map(({ quantity, product_retailer_id, item_price }) =>
      h("li", {}, h("bdi", { class: "grow" }, `${Number(quantity) || 1} × ${upright(product_retailer_id ?? "?")}`), h("span", {}, money(Number(item_price) || 0))))),
    items.length > ITEMS ? h("p", { class: "fine" }, `and ${items.length - ITEMS} more`) : null,
    h("p", { class: "total" }, h("span", {}, "Total"), h("strong", {}, money(total))));
}

function interactive(part, message, words) {
  const reply = object(part.button_reply ?? part.list_reply ?? part.nfm_reply);
  if (message.direction === "in" || Object.keys(reply).length) {
    const text = reply.title ?? (part.nfm_reply ? "Filled in the form" : message.text);
    return [h("p", { class: "answered" }, icon(part.nfm_reply ? "form" : "reply"), h("span", { dir: "auto" }, upright(text ?? kindOf("interactive")))),
      reply.description ? h("p", { class: "fine", dir: "auto" }, upright(reply.description)) : null, answers(part.nfm_reply)];
  }
  const action = object(part.action);
  const rows = list(action.sections).flatMap((section) => list(section.rows));
  const buttons = [...list(action.buttons).map((button) => object(button.reply).title), object(action.parameters).display_text, typeof action.button === "string" ? action.button : null].filter(Boolean);
  return [
    object(part.header).text ? h("p", { class: "body strong", dir: "auto" }, upright(object(part.header).text)) : null,
    ...words(object(part.body).text ?? message.text ?? kindOf("interactive")),
    object(part.footer).text ? h("p", { class: "fine", dir: "auto" }, upright(object(part.footer).text)) : null,
    buttons.length ? h("ul", { class: "buttons", "aria-label": "Buttons" }, buttons.map((title) => h("li", { dir: "auto" }, icon(rows.length ? "list" : "reply"), upright(title)))) : null,
    rows.length ? h("p", { class: "fine" }, `A list of ${rows.length}: ${rows.slice(0, 5).map(({ title }) => upright(title ?? "")).join(", ")}${rows.length > 5 ? "…" : ""}`) : null,
  ];
}

/** What was filled into a form, as far as it is words. */
function answers(form) {
  let told;
  try {
    told = object(JSON.parse(object(form).response_json));
  } catch {
    return null;
  }
  const all = Object.entries(told).filter(([name, value]) => name !== "flow_token" && ["string", "number", "boolean"].includes(typeof value)).slice(0, ITEMS);
  return all.length ? h("dl", { class: "facts form" }, all.map(([name, value]) => h("div", {}, h("dt", {}, upright(plain(name))), h("dd", { dir: "auto" }, upright(String(value)).slice(0, 500))))) : null;
}

function template(part, context, message) {
  const name = String(part.name ?? "");
  const code = String(object(part.language).code ?? "");
  const known = context.template(name, code);
  const label = h("p", { class: "fine template-name" }, icon("form"), h("bdi", {}, upright(name) || "Template"), code ? ` · ${code}` : null);
  if (!known) return [label, message.text ? h("p", { class: "body", dir: "auto" }, rich(message.text)) : null];
  return [label, context.template.drawn(known, part.components, code)];
}

/** What became of a call: Meta tells its end, and what became of it at the person's, in any order ("Calling API", webhooks). */
function call({ direction, call_updates }, told) {
  const all = [told, ...call_updates.map(({ content: each }) => object(each))];
  const states = all.map(({ status }) => String(status ?? "").toLowerCase());
  const seconds = Math.round(Number(all.findLast(({ duration }) => duration)?.duration));
  const isOver = seconds > 0 || states.includes("completed") || all.some(({ event }) => event === "terminate");
  const what = states.includes("rejected") ? "Call that was declined" : states.includes("failed") ? "Call that was not answered" : "Call";
  const how = seconds > 0 ? (seconds < 60 ? `, ${seconds} s` : `, ${Math.floor(seconds / 60)} min ${seconds % 60} s`) : what === "Call" && !isOver ? ", not over yet" : "";
  return [h("p", { class: "body" }, icon("phone"), `${what} ${direction === "out" ? "by you" : "by the customer"}${how}`)];
}

/** A message that is on its way, or that did not get away. */
export function outgoing(entry, context) {
  const { key, state, at, content: sent, quoted, problem, waits } = entry;
  const words = sent.type === "text" ? paragraph(sent.text.body, { open: context.unfolded.has(key), id: key })
    : sent.type === "template" ? template(sent.template, context, { text: entry.shown })
      : sent[sent.type]?.id ? [h("div", { class: "file" }, entry.small ? h("img", { class: "small-picture", src: entry.small, alt: "" }) : icon(iconOf(sent.type)), h("bdi", { class: "grow one-line" }, entry.shown ?? kindOf(sent.type))), ...(sent[sent.type].caption ? paragraph(sent[sent.type].caption) : [])]
        : [h("p", { class: "body" }, entry.shown ?? kindOf(sent.type))];
  return h("li", { class: `line out pending ${state}`, "data-outgoing": key },
    h("div", { class: "balloon", tabindex: "-1", role: "group", "aria-label": `You, ${clock(at)}, ${ticks(state)?.text ?? ""}`, "data-outgoing": key },
      quoted ? quote(quoted, context) : null,
      words,
      h("p", { class: "foot" }, waits ? h("span", {}, "waits for WhatsApp") : null, h("time", { datetime: at, title: exact(at) }, clock(at)), tick(state))),
    trouble(state, problem, key));
}

const TROUBLE = {
  unknown: ["wait", "WhatsApp did not answer, so this may have been sent or not. A status of WhatsApp's settles it, mostly within a minute. Send it again only if it is better twice than never."],
  expired: ["bad", "Its time was over before WhatsApp could be asked. It was not sent."],
  cancelled: ["bad", "It was cancelled before WhatsApp was asked."],
  refused: ["bad", "It was not sent."],
  waiting: ["wait", "We can't be reached right now. It goes out as soon as we can."],
};

function trouble(state, problem, key) {
  const found = TROUBLE[state];
  if (!found) return null;
  const [kind, text] = found;
  const isOver = state !== "waiting";
  return h("div", { class: `failure ${kind}`, role: isOver ? "alert" : null }, icon("alert"),
    h("p", { class: "grow" }, problem?.message ?? text, problem?.remedy ? [" ", h("span", { class: "remedy" }, problem.remedy)] : null),
    h("span", { class: "failure-actions" },
      isOver ? h("button", { class: "button text", type: "button", "data-action": "send-again", "data-outgoing-key": key, "data-key": "again" }, "Send again") : null,
      h("button", { class: "button text", type: "button", "data-action": "remove-outgoing", "data-outgoing-key": key, "data-key": "remove" }, isOver ? "Remove" : "Don't send")));
}

const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value.filter((each) => each && typeof each === "object") : []);

