// What the page knows: an answer by its name, each asked for where the place needs it, and how that went.

import { Refused, SignedOut, Unreachable, call, open } from "../shared/api.js";

const AT_ONCE = 30_000; // ms that an answer is shown for without being asked for again
const CSV_PAGES = 50; // of 1,000 lines each
const NOTHING = { data: null, status: "loading", busy: false, path: null, at: 0, message: "" };

export const answers = new Map();
let draw = () => {};
let left = () => {};
let session = 0; // grows each time that somebody signs out

export function onChange(callback) {
  draw = callback;
}

export function onSignedOut(callback) {
  left = callback;
}

/** An answer: `status` is `loading`, `here`, `missing`, `forbidden` or `failed`; `data` may be of before a failure. */
export const answer = (name) => answers.get(name) ?? NOTHING;

/** Ask for what a place needs: what is here for the same path stays, unless it is old or `anew`. */
export function askAll(needs, { anew = false } = {}) {
  return Promise.all(Object.entries(needs).map(([name, path]) => {
    const known = answer(name);
    if (known.path === path && (known.busy || (!anew && known.status === "here" && Date.now() - known.at < AT_ONCE))) return null;
    return ask(name, path);
  }));
}

async function ask(name, path) {
  const known = answer(name);
  const asker = session;
  const same = apartFromLimit(known.path) === apartFromLimit(path);
  // What was asked otherwise is not shown under the new words.
  answers.set(name, { ...(same ? known : NOTHING), path, busy: true });
  draw();
  const found = await outcome(path);
  if (asker !== session || answer(name).path !== path) return;
  if (found.status === "out") return left();
  const now = answer(name);
  answers.set(name, found.status === "failed" ? { ...now, ...found, busy: false } : { ...NOTHING, ...found, path, at: Date.now() });
  draw();
}

/** More rows of the same are the same: what is here stays until they come. */
const apartFromLimit = (path) => path?.replace(/([?&])limit=\d+/, "$1");

async function outcome(path) {
  try {
    return { status: "here", data: await call(path) };
  } catch (error) {
    if (error instanceof SignedOut) return { status: "out" };
    if (error instanceof Refused && error.status === 404) return { status: "missing", code: error.code, message: error.message };
    if (error instanceof Refused && error.status === 403) return { status: "forbidden", message: error.message };
    if (error instanceof Refused && error.status < 500) return { status: "failed", message: error.message };
    if (error instanceof Refused || error instanceof Unreachable) return { status: "failed", message: "" };
    throw error;
  }
}

/** Change something; the answer, null where it is done later. Throws like `call`. */
export async function tell(method, path, body, headers = {}) {
  const got = await open(path, {
    method,
    headers: { "Content-Type": "application/json", Accept: "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  return got.status === 202 ? null : await got.json().catch(() => null);
}

/** All pages of a list as one text of CSV. Throws like `call`. */
export async function csvOf(path) {
  const parts = [];
  let after = null;
  do {
    const [at, given] = path.split("?");
    const query = new URLSearchParams(given ?? "");
    if (after) query.set("after", after);
    const got = await open(`${at}${query.size ? `?${query}` : ""}`, { headers: { Accept: "text/csv" }, signal: AbortSignal.timeout(60_000) });
    if (!(got.headers.get("Content-Type") ?? "").startsWith("text/csv")) throw new Refused(406, "no_csv", "This can't be had as CSV.");
    const text = await got.text();
    parts.push(after ? text.slice(text.indexOf("\n") + 1) : text);
    after = got.headers.get("X-Next") ?? nextOf(got.headers.get("Link"));
  } while (after && parts.length < CSV_PAGES);
  return parts.join("");
}

/** The cursor of the page that follows, by a header `Link` (RFC 8288); null on the last one. Pure. */
export function nextOf(link) {
  const [, target] = /<([^>]*)>\s*;\s*rel="next"/.exec(link ?? "") ?? [];
  return target === undefined ? null : new URLSearchParams(target.split("?")[1] ?? "").get("after");
}

/** Know nothing any more: somebody else may sign in. What is on its way is dropped when it arrives. */
export function forgetAll() {
  session += 1;
  answers.clear();
}
