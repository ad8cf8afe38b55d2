// Builds the page, patches what changed, and keeps the focus. Data becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const KEYS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const drawn = new WeakMap(); // by element, the token that it was built for

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
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name) && !isOwn(old, name, wanted)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, wanted);
}

/** Whether an attribute is not what was drawn, but what became of it since: a medium that is heard starts again where it gets another address. */
function isOwn(element, name, wanted) {
  switch (name) {
    case "tabindex":
      return element === document.activeElement;
    case "open":
      return element.nodeName === "DETAILS";
    case "data-broken":
      return true;
    case "src":
      return element.dataset.medium !== undefined && element.dataset.medium === wanted.dataset.medium;
    default:
      return false;
  }
}

function patchChildren(old, wanted) {
  const keyed = new Map();
  const rest = [];
  for (const child of old.childNodes) keyOf(child) ? keyed.set(keyOf(child), child) : rest.push(child);
  let from = 0;
  const match = (node) => {
    if (keyOf(node)) return keyed.get(keyOf(node));
    const at = rest.findIndex((child, index) => index >= from && kindOf(child) === kindOf(node));
    if (at >= 0) from = at + 1;
    return rest[at];
  };
  arrange(old, [...wanted.childNodes].map((node) => {
    const known = match(node);
    if (!known || known.nodeName !== node.nodeName) return node;
    patch(known, node);
    return known;
  }));
}

/** Make `nodes` the children of `root`. What holds the focus stays where it is and the others move, for to move is to lose it. */
function arrange(root, nodes) {
  const kept = new Set(nodes);
  for (const child of [...root.childNodes]) if (!kept.has(child)) child.remove();
  const focused = nodes.find((node) => node.parentNode === root && node.contains(document.activeElement));
  let next = null;
  for (const node of nodes.reverse()) {
    if (node === focused) while (node.nextSibling !== next) root.insertBefore(node.nextSibling, node);
    else if (node.parentNode !== root || node.nextSibling !== next) root.insertBefore(node, next);
    next = node;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}

/** Without keys, what has the same element, purpose and first class is the same, in this order. */
function kindOf(node) {
  return `${node.nodeName} ${node.dataset?.action ?? ""} ${node.classList?.[0] ?? ""}`;
}

/**
 * Draw, and see that the focus is not lost: when what had it is gone, the heading of the nearest part that is left gets
 * it, so that the next Tab goes on from there and not from the top of the page.
 */
export function keepingFocus(draw) {
  const had = document.activeElement;
  const around = [];
  for (let element = had; element && element !== document.body; element = element.parentElement) around.push(element);
  draw();
  if (!around.length || isShown(had)) return;
  const headings = [...around, document.body].filter(isShown).map((part) => [...part.querySelectorAll("h2, h3")].find(isShown));
  focusOn(headings.find(Boolean) ?? document.querySelector("main"), { preventScroll: true });
}

/** Move the focus to what can't have it by itself, as a heading. */
export function focusOn(element, options) {
  if (!element.hasAttribute("tabindex")) element.setAttribute("tabindex", "-1");
  element.focus(options);
}

function isShown(element) {
  return element.isConnected && element.checkVisibility() && !element.classList.contains("unseen");
}

/** Make the children of `root` these items, in this order. One is built where it is new or its `token` is another. */
export function showList(root, items) {
  const known = new Map([...root.children].map((child) => [child.dataset.key, child]));
  arrange(root, items.map(({ key, token, build }) => {
    const old = known.get(key);
    if (old && drawn.get(old) === token) return old;
    const built = build();
    built.dataset.key = key;
    if (old) patch(old, built);
    drawn.set(old ?? built, token);
    return old ?? built;
  }));
}

/** Let the arrow keys, Home and End walk through the elements of `selector` in `root`; `onReach` hears where to. */
export function walkable(root, selector, onReach) {
  root.addEventListener("keydown", (event) => {
    const step = KEYS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...root.querySelectorAll(selector)];
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    const next = all[Math.max(0, Math.min(all.length - 1, at + step))];
    next.focus();
    onReach?.(next);
  });
}

/** Of the elements of `selector` in `root` only one is a tab stop: the one in focus, else `current`, else the first. */
export function oneTabStop(root, selector, current = null) {
  const all = [...root.querySelectorAll(selector)];
  const stop = all.find((each) => each === document.activeElement) ?? all.find((each) => each === current) ?? all[0];
  for (const each of all) {
    const wanted = each === stop ? "0" : "-1";
    if (each.getAttribute("tabindex") !== wanted) each.setAttribute("tabindex", wanted);
  }
}
