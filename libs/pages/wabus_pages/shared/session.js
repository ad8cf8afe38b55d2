// Who is looking: the bearer token, where it comes from, and what it says.

const KEY = "wabus.token";
const ORGANISATION = "wabus.organisation"; // this tab was signed in to last
const LINKED = "wabus.linked"; // there where a link has signed this tab in, and not its person
const OUT = "wabus.out"; // there where a person has signed out, so that nothing signs them in by itself
const tabs = new BroadcastChannel("wabus.session");
let token = null;
let local = false; // whether it came from /ui/session, which gives another when it has expired

/**
 * Find a token: `#token=…` in the address, else this tab's, else the local stack's. Returns whether there is one.
 *
 * Whoever made a link chose its token. So where this tab is signed in to another organisation, `mayReplace` is asked,
 * with the names of both.
 */
export async function open(mayReplace) {
  const given = new URLSearchParams(location.hash.slice(1)).get("token")?.trim();
  token = sessionStorage.getItem(KEY);
  if (given) {
    history.replaceState(history.state, "", location.pathname + location.search);
    const here = claims()?.orgId ?? sessionStorage.getItem(ORGANISATION);
    const there = claims(given)?.orgId ?? null;
    if (here === null || here === there || (await mayReplace(here, there))) {
      if (given !== token) remember(given, true);
      return true;
    }
  }
  if (token) return true;
  return sessionStorage.getItem(OUT) === null && renew();
}

/** Remember a token that a person has given, for as long as this tab is open. */
export function keep(given) {
  remember(given.trim(), false);
}

function remember(given, isLinked) {
  token = given;
  local = false;
  sessionStorage.removeItem(OUT);
  sessionStorage.setItem(KEY, token);
  sessionStorage.setItem(ORGANISATION, claims()?.orgId ?? "");
  if (isLinked) sessionStorage.setItem(LINKED, "");
  else sessionStorage.removeItem(LINKED);
}

/** Whether it was a link that signed this tab in. */
export function isLinked() {
  return sessionStorage.getItem(LINKED) !== null;
}

/** Get another token after one was refused. Returns whether there is one for the same organisation. */
export async function renew() {
  const before = local ? null : claims();
  forget();
  const answer = await fetch("/ui/session", { signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) return false;
  token = (await answer.json()).token;
  local = true;
  if (before?.orgId && before.orgId !== claims()?.orgId) forget();
  if (token !== null) sessionStorage.setItem(ORGANISATION, claims()?.orgId ?? "");
  return token !== null;
}

export function forget() {
  token = null;
  for (const name of [KEY, LINKED]) sessionStorage.removeItem(name);
}

/** Whoever sits here leaves: in every tab that is signed in to the same organisation. */
export function signOut() {
  const org = claims()?.orgId;
  leave();
  tabs.postMessage({ out: org });
}

/** `left` is called where another tab has signed out of the organisation that this one is signed in to. */
export function onSignedOutElsewhere(left) {
  tabs.addEventListener("message", ({ data }) => {
    if (token === null || data.out !== claims()?.orgId) return;
    leave();
    left();
  });
}

function leave() {
  forget();
  sessionStorage.removeItem(ORGANISATION);
  sessionStorage.setItem(OUT, "");
}

/** Whether the local stack signs in whoever sits at this machine, once they want that again. Does so. */
export async function signInHere() {
  const found = await renew();
  if (found) sessionStorage.removeItem(OUT);
  return found;
}

/** Whether it came from the local stack, which signs in again without a token. */
export const isLocal = () => local;

export function bearer() {
  return token;
}

/** What the token says of its bearer. Only for what is shown: the server checks it for itself. */
export function claims(of = token) {
  try {
    const bytes = Uint8Array.from(atob(of.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** Whether conversations may be read. */
export function mayRead() {
  return ["agent", "service", "admin"].includes(claims()?.role);
}

export function isAdmin() {
  return claims()?.role === "admin";
}
