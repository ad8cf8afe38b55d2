// Files that go along with an answer: checked by what WhatsApp takes, passed on while one writes, and sent by their ids.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";
import { h, icon, show } from "../shared/dom.js";
import { bearer } from "../shared/session.js";
import { upright } from "../shared/words.js";

const MEGABYTE = 1024 * 1024;
const OFFICE = "application/vnd.openxmlformats-officedocument";
/** What WhatsApp takes (docs/sending.md): of each kind the types, and how many bytes at most. */
const TAKEN = {
  image: [5 * MEGABYTE, ["image/jpeg", "image/png"]],
  audio: [16 * MEGABYTE, ["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"]],
  video: [16 * MEGABYTE, ["video/mp4", "video/3gpp"]],
  sticker: [500 * 1024, ["image/webp"]],
  document: [100 * MEGABYTE, ["application/pdf", "text/plain", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", `${OFFICE}.wordprocessingml.document`, `${OFFICE}.spreadsheetml.sheet`, `${OFFICE}.presentationml.presentation`]],
};
const MOST = 10; // files of one answer
const AGAIN = [500, 1_000, 2_000, 4_000, 8_000, 15_000]; // ms between questions whether WhatsApp has it
const AGAIN_MOST = 60;
const SMALL = 96; // px of a small picture's side

const held = new Map(); // by conversation: its files
let changed = () => {};
let signedOut = () => {};
let count = 0;

export function begin(callbacks) {
  [changed, signedOut] = [callbacks.onChange, callbacks.onSignedOut];
}

export function forgetFiles() {
  for (const files of held.values()) for (const file of files) file.request?.abort();
  held.clear();
}

export const filesOf = (conversation_id) => held.get(conversation_id) ?? [];

/** What a file is sent as, or why it is not. Pure. */
export function judge({ type, size }) {
  const [kind, [most]] = Object.entries(TAKEN).find(([, [, types]]) => types.includes(type.split(";")[0].trim().toLowerCase())) ?? [null, [0]];
  if (!kind) return { kind: "document", problem: "WhatsApp does not take files of this type." };
  if (!size) return { kind, problem: "The file is empty." };
  if (size > most) return { kind, problem: `It is larger than the ${most >= MEGABYTE ? `${most / MEGABYTE} MB` : `${most / 1024} kB`} that WhatsApp takes.` };
  return { kind, problem: null };
}

/** Take files along with the answer in a conversation, from one of our numbers. */
export function add(conversation_id, phone_number_id, files) {
  const before = filesOf(conversation_id);
  for (const file of [...files].slice(0, MOST - before.length)) {
    const { kind, problem } = judge(file);
    const entry = { id: ++count, conversation_id, name: upright(file.name) || "File", size: file.size, kind, state: problem ? "refused" : "uploading", progress: 0, problem, media_id: null, small: null };
    held.set(conversation_id, [...filesOf(conversation_id), entry]);
    if (!problem && (kind === "image" || kind === "sticker")) smallPicture(file).then((small) => small && (Object.assign(entry, { small }), changed()));
    if (!problem) pass(entry, phone_number_id, file);
  }
  changed();
}

/** The middle of a picture in small, as an address that needs no request; null where the browser can't draw it. */
async function smallPicture(file) {
  try {
    const picture = await createImageBitmap(file);
    const { width, height } = picture;
    const side = Math.min(width, height);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SMALL;
    canvas.getContext("2d").drawImage(picture, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SMALL, SMALL);
    picture.close();
    return canvas.toDataURL("image/webp");
  } catch {
    return null; // it is no picture, whatever it is called: WhatsApp says so
  }
}

export function remove(conversation_id, id) {
  filesOf(conversation_id).find((file) => file.id === Number(id))?.request?.abort();
  held.set(conversation_id, filesOf(conversation_id).filter((file) => file.id !== Number(id)));
  changed();
}

/** The contents to send, one for each file: the text goes with the first that can have one, else by itself. Pure. */
export function contents(files, text) {
  let left = text;
  const made = files.map(({ kind, media_id, name, small = null }) => {
    const caption = left && kind !== "audio" && kind !== "sticker" ? left : null;
    if (caption) left = "";
    return { content: { type: kind, [kind]: { id: media_id, ...(caption ? { caption } : {}), ...(kind === "document" ? { filename: name } : {}) } }, shown: name, small };
  });
  return left ? [...made, { content: { type: "text", text: { body: left } }, shown: null, small: null }] : made;
}

/** They are sent: the next answer has none. */
export function takeAll(conversation_id) {
  const files = filesOf(conversation_id);
  held.delete(conversation_id);
  return files;
}

async function pass(entry, phone_number_id, file) {
  const path = `/numbers/${phone_number_id}/media`;
  const update = (changes) => {
    Object.assign(entry, changes);
    changed();
  };
  try {
    let answer = await upload(entry, path, file, update);
    if (answer.status === 401) {
      await call(`/numbers/${phone_number_id}/sending`); // gets another token where there is one
      answer = await upload(entry, path, file, update);
    }
    if (answer.status >= 400) return update({ state: "refused", problem: [answer.body.detail ?? "It could not be passed on.", answer.body.remedy].filter(Boolean).join(" ") });
    let { body } = answer;
    for (let asked = 0; body.state === "waiting" && asked < AGAIN_MOST && filesOf(entry.conversation_id).includes(entry); asked += 1) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN[Math.min(asked, AGAIN.length - 1)]));
      body = await call(`${path}/${body.upload_id}`);
    }
    update(body.state === "stored" ? { state: "stored", media_id: body.media_id, kind: body.kind, progress: 1 } : { state: "refused", problem: body.refusal?.message ?? "WhatsApp has not taken it." });
  } catch (error) {
    if (error instanceof SignedOut) return signedOut();
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    update({ state: "refused", problem: "It could not be passed on: we can't be reached right now. Take it away and add it again." });
  }
}

/** A request of the older kind, for only that says how far it is. */
function upload(entry, path, file, update) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    entry.request = request;
    request.open("POST", path);
    request.setRequestHeader("Authorization", `Bearer ${bearer() ?? ""}`);
    request.setRequestHeader("Content-Type", file.type);
    request.upload.onprogress = ({ loaded, total }) => update({ progress: total ? loaded / total : 0 });
    request.onerror = request.ontimeout = () => reject(new Unreachable());
    request.onload = () => {
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch {
        if (request.status < 400) return reject(new Unreachable());
      }
      resolve({ status: request.status, body });
    };
    request.send(file);
  });
}

/** The files of an answer, as a list. */
export function drawFiles(root, conversation_id) {
  show(root, filesOf(conversation_id).map(({ id, name, kind, state, progress, problem, small }) => h("li", { class: `attached ${state}`, "data-key": String(id) },
    small ? h("img", { class: "small-picture", src: small, alt: "" }) : icon(kind === "image" || kind === "sticker" ? "image" : kind === "video" ? "video" : kind === "audio" ? "audio" : "document"),
    h("span", { class: "grow" }, h("bdi", { class: "one-line" }, name),
      state === "uploading" ? h("progress", { class: "progress", value: Math.round(progress * 100), max: 100, "aria-label": `${name}: passed on` }) : null,
      problem ? h("span", { class: "error", role: "alert" }, problem) : null,
      state === "stored" ? h("span", { class: "fine" }, "Ready to be sent") : null),
    h("button", { class: "close", type: "button", "data-action": "remove-file", "data-file": id, "aria-label": `Take ${name} away` }, icon("cross")))));
}
