// WhatsApp's own marks for text, as a tree: *bold*, _italic_, ~strike~, `code` and ```monospace```. Pure.

const TAGS = { "*": "strong", _: "em", "~": "s" };
const MARKED = /(?<![\p{L}\p{N}])(?:([*_~])(?=\S)([^\n]*?\S)\1(?![\p{L}\p{N}])|`([^`\n]+)`)/u;

/** `"a *b*"` becomes `["a ", {tag: "strong", children: ["b"]}]`. */
export function parse(text) {
  return text.split(/```([^]+?)```/).flatMap((part, at) => (at % 2 ? [{ tag: "code", children: [part] }] : inline(part)));
}

function inline(text) {
  const parts = [];
  let rest = text;
  for (let found = MARKED.exec(rest); found; found = MARKED.exec(rest)) {
    if (found.index) parts.push(rest.slice(0, found.index));
    parts.push(
      found[3] === undefined
        ? { tag: TAGS[found[1]], children: inline(found[2]) }
        : { tag: "code", children: [found[3]] },
    );
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest) parts.push(rest);
  return parts;
}
