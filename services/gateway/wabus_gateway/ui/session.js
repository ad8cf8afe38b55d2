// Who is looking: the bearer token, where it comes from, and what it says.

const KEY = "wabus.token";
let token = null;
let local = false; // whether it came from /ui/session, which gives another when it has expired

/** Find a token: `#token=…` in the address, else this tab's, else the local stack's. Returns whether there is one. */
export async function open() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    keep(given);
    return true;
  }
  token = sessionStorage.getItem(KEY);
  return token ? true : renew();
}

/** Remember a token for as long as this tab is open. */
export function keep(given) {
  token = given.trim();
  local = false;
  sessionStorage.setItem(KEY, token);
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
  return token !== null;
}

export function forget() {
  token = null;
  sessionStorage.removeItem(KEY);
}

export function bearer() {
  return token;
}

/** What the token says of its bearer. Only for what is shown: the server checks it for itself. */
export function claims() {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

export function isAdmin() {
  return claims()?.role === "admin";
}
