// The templates of an account, asked for where one is wanted: to show a message of one, and to choose one.

import { Refused, SignedOut, Unreachable, call } from "../shared/api.js";

const PAGE = 500; // templates in an answer
const MOST = 5_000;
const AGAIN = 60_000; // ms until the templates of an account are asked for again
const FIELDS = "template_id,name,language,category,status,quality,parameter_format,components";

const known = new Map(); // by account: {at, templates, asking}
let version = 0; // grows with what is known
let shown = null; // how one is drawn: asked for with the first
let changed = () => {};
let signedOut = () => {};

export function begin(callbacks) {
  [changed, signedOut] = [callbacks.onChange, callbacks.onSignedOut];
}

export function forgetTemplates() {
  known.clear();
  version += 1;
}

/** A function that finds a template of an account, and asks for them where one is wanted that is not known. */
export function finder(waba_id) {
  const find = (name, code) => {
    const found = known.get(waba_id);
    if (!found && waba_id) load(waba_id).catch(ignore);
    return found?.templates?.find((each) => each.name === name && each.language === code) ?? null;
  };
  find.version = () => version;
  find.drawn = (...given) => shown.drawn(...given);
  return find;
}

export function ignore(error) {
  if (error instanceof SignedOut) return signedOut();
  if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
}

/** Every template of an account, asked for once a minute at most. */
export async function load(waba_id) {
  const held = known.get(waba_id);
  if (held?.asking) return held.asking;
  if (held?.templates && Date.now() - held.at < AGAIN) return held.templates;
  const asking = askFor(waba_id);
  known.set(waba_id, { ...held, asking });
  try {
    const templates = await asking;
    known.set(waba_id, { at: Date.now(), templates });
    version += 1;
    changed();
    return templates;
  } catch (error) {
    known.set(waba_id, { at: Date.now(), templates: held?.templates ?? null });
    throw error;
  }
}

async function askFor(waba_id) {
  shown ??= await import("./sent_template.js").catch(() => {
    throw new Unreachable();
  });
  const templates = [];
  for (let after = ""; after !== null && templates.length < MOST;) {
    const answer = await call(`/templates?${new URLSearchParams({ waba_id, status: "all", limit: PAGE, fields: FIELDS, ...(after ? { after } : {}) })}`);
    templates.push(...answer.templates);
    after = answer.next;
  }
  return templates;
}
