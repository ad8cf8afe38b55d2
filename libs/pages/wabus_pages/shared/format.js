// WhatsApp's own marks for text, as a tree: *bold*, _italic_, ~strike~, `code` and ```monospace```. Pure.

const TAGS = { "*": "strong", _: "em", "~": "s", "`": "code" };
const OPENS = /(?<![\p{L}\p{N}])(?:[*_~](?=\S)|`(?=[^`\n]))/gu;
const CLOSES = { "*": /(?<=\S)\*(?![\p{L}\p{N}])/gu, _: /(?<=\S)_(?![\p{L}\p{N}])/gu, "~": /(?<=\S)~(?![\p{L}\p{N}])/gu, "`": /`/g };

/** `"a *b*"` becomes `["a ", {tag: "strong", children: ["b"]}]`. It takes no longer than the text is, whatever it says. */
export function parse(text) {
  return text.split(/```([^]+?)```/).flatMap((part, at) => (at % 2 ? [{ tag: "code", children: [part] }] : inline(part)));
}

function inline(text) {
  const parts = [];
  const ends = {}; // by mark: the next one that can close, so that each is looked for once
  let from = 0;
  for (const { 0: mark, index } of text.matchAll(OPENS)) {
    if (index < from) continue;
    if (!(ends[mark] >= index + 2)) ends[mark] = next(CLOSES[mark], text, index + 2);
    const end = ends[mark];
    if (end === Infinity) continue;
    const inside = text.slice(index + 1, end);
    if (inside.includes("\n")) continue;
    if (index > from) parts.push(text.slice(from, index));
    parts.push({ tag: TAGS[mark], children: mark === "`" ? [inside] : inline(inside) });
    from = end + 1;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

function next(pattern, text, from) {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? Infinity;
}
