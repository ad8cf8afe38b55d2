// Calls to our own APIs: the token goes along, is renewed once when refused, and failures get words.

import { bearer, renew } from "./session.js";

const TIMEOUT = 20_000; // ms

/** The server said no: `message`, `title` and `wayOn` are for people, `status`, `code` and the whole `problem` for programs. */
export class Refused extends Error {
  constructor(status, code, message, problem = {}) {
    super(message);
    Object.assign(this, { status, code, title: problem.title, wayOn: problem.way_on, problem });
  }
}

/** No answer came. */
export class Unreachable extends Error {}

/** No token is accepted any more. */
export class SignedOut extends Error {}

/**
 * The JSON of an answer. What is `anonymous` goes without the token, and is of no session. Throws `Refused`,
 * `Unreachable` or `SignedOut`.
 */
export async function call(path, { method = "GET", body, headers = {}, timeout = TIMEOUT, anonymous = false } = {}) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const answer = await open(path, {
    method,
    body: sent.body,
    headers: { Accept: "application/json", ...sent.headers, ...headers },
    signal: AbortSignal.timeout(timeout),
    anonymous,
  });
  return content(answer);
}

/** What `known` says unless it has changed: an answer with its `etag`. Throws like `call`. */
export async function callUnlessSame(path, known) {
  const answer = await open(path, {
    headers: { Accept: "application/json", ...(known ? { "If-None-Match": known.etag } : {}) },
    signal: AbortSignal.timeout(TIMEOUT),
  });
  return known && answer.status === 304 ? known : { ...(await content(answer)), etag: answer.headers.get("ETag") };
}

async function content(answer) {
  try {
    return await answer.json();
  } catch {
    throw new Unreachable();
  }
}

/** A successful answer whose body has not been read. Throws like `call`. */
export async function open(path, { anonymous = false, ...options } = {}) {
  let answer = await send(path, options, anonymous);
  if (answer.status === 401 && !anonymous) {
    if (await renewed()) answer = await send(path, options);
    if (answer.status === 401) throw new SignedOut();
  }
  if (answer.ok || answer.status === 304) return answer;
  const problem = await answer.json().catch(() => ({}));
  if (answer.status >= 500 && !problem.detail) throw new Unreachable();
  throw new Refused(answer.status, problem.code ?? "", problem.detail ?? "That did not work. Please try again.", problem);
}

async function send(path, options, anonymous = false) {
  const identity = anonymous ? {} : { Authorization: `Bearer ${bearer() ?? ""}` };
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, ...identity } });
  } catch {
    throw new Unreachable();
  }
}

let renewing = null;

async function renewed() {
  renewing ??= renew().finally(() => (renewing = null));
  try {
    return await renewing;
  } catch {
    throw new Unreachable();
  }
}
