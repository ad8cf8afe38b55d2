// What to tell screen readers when the page has changed: each reason that came and went, and how all stands. Pure.

const NAMES = 2;

/** What of an answer can be news. `title` is what stands at the top of the page. */
export function seen({ live, title, reasons, syncs }) {
  const said = new Map();
  for (const { code, waba_id, message } of reasons) {
    const key = `${code} ${waba_id ?? ""}`;
    said.set(key, [...(said.get(key) ?? []), message]);
  }
  return { live, title, said, syncs };
}

/** The sentences that tell the way from `before` (null at first) to `now`. */
export function news(before, now) {
  if (before === null) return now.title ? [`${now.title}.`] : [];
  const sentences = [];
  if (now.live === "lost" && before.live !== "lost") sentences.push("Connection lost, retrying.");
  else if (before.live === "lost" && ["live", "polling"].includes(now.live)) sentences.push("Connected.");
  for (const [key, messages] of now.said) {
    const known = before.said.get(key) ?? [];
    sentences.push(...messages.filter((message) => !known.includes(message)));
  }
  for (const [key, messages] of before.said) {
    const left = now.said.get(key) ?? [];
    const gone = left.length < messages.length ? messages.filter((message) => !left.includes(message)) : [];
    sentences.push(...gone.slice(0, NAMES).map((message) => `Solved: ${message}`));
    if (gone.length > NAMES) sentences.push(`${gone.length - NAMES} more are solved.`);
  }
  if (now.syncs && before.syncs && now.syncs !== before.syncs) sentences.push(now.syncs);
  if (now.title && now.title !== before.title) sentences.push(`${now.title}.`);
  return sentences;
}
