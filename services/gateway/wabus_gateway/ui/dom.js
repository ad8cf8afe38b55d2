// Builds the page and patches what changed. Data becomes text nodes and attributes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `null`, `false` and `undefined` among attributes and children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** One of the page's icons; decoration, for the words beside it say the same. */
export function icon(name, kind = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${kind}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Bars beside each other, as wide as their share. */
export function bar(shares) {
  const total = shares.reduce((sum, share) => sum + share.count, 0) || 1;
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" })) {
    svg.setAttribute(name, value);
  }
  let x = 0;
  for (const { count, kind } of shares) {
    const rect = document.createElementNS(SVG, "rect");
    const width = (count / total) * 100;
    for (const [name, value] of Object.entries({ class: kind, x, y: 0, width, height: 4 })) rect.setAttribute(name, String(value));
    svg.append(rect);
    x += width;
  }
  return svg;
}

/** Make the children of `root` equal to `children`, keeping what is the same: focus, scroll places, open details. */
export function show(root, ...children) {
  patchChildren(root, h("div", {}, ...children));
}

function patch(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const opened = old.nodeName === "DETAILS" && name === "open";
    if (!wanted.hasAttribute(name) && !opened) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, wanted);
}

function patchChildren(old, wanted) {
  const keyed = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let cursor = old.firstChild;
  for (const next of [...wanted.childNodes]) {
    const match = keyOf(next) ? keyed.get(keyOf(next)) : cursor && !keyOf(cursor) ? cursor : null;
    if (!match || match.nodeName !== next.nodeName) {
      old.insertBefore(next, cursor);
      continue;
    }
    if (match === cursor) cursor = cursor.nextSibling;
    else old.insertBefore(match, cursor);
    patch(match, next);
  }
  while (cursor) {
    const following = cursor.nextSibling;
    cursor.remove();
    cursor = following;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}
