// What a page shows, in its address: so it can be reloaded, sent to somebody, and gone back to.

/** The parameters of these names, those that are there. */
export function read(names) {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(names.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
}

/** Write parameters into the address; one without a value goes. With `push` Back leads to the address before. */
export function write(parameters, { push = false } = {}) {
  const given = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(parameters)) value ? given.set(name, value) : given.delete(name);
  const query = given.toString();
  const address = `${location.pathname}${query ? `?${query}` : ""}`;
  if (address === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](history.state, "", address);
}
