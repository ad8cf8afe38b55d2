// Curves and bars as SVG, each with a table of what it shows behind it. What they are drawn of is worked out apart, purely.

import { h } from "../shared/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [1000, 200];

/** The end of an axis that holds `most`: 1, 2 or 5 and noughts. Pure. */
export function axisEnd(most) {
  if (!(most > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * size).find((end) => end >= most * (1 - 1e-9));
}

/** The path of a curve over `values` in a box; where there is no value it is broken. Pure. */
export function curve(values, end, { width = WIDTH, height = HEIGHT, begin = 0 } = {}) {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let pen = "M";
  const parts = [];
  values.forEach((value, at) => {
    if (value === null || value === undefined) return (pen = "M");
    const y = height - ((Math.min(Math.max(value, begin), end) - begin) / (end - begin)) * height;
    parts.push(`${pen}${round(at * step)} ${round(y)}`);
    if (pen === "M" && values.length === 1) parts.push(`L${width} ${round(y)}`);
    pen = "L";
  });
  return parts.join("");
}

/** Bars on top of each other, for each place the parts of it from below: `x`, `y`, `width`, `height`, `kind`. Pure. */
export function stacks(places, end, { width = WIDTH, height = HEIGHT } = {}) {
  const step = width / (places.length || 1);
  return places.flatMap((parts, at) => {
    let top = height;
    return parts.filter(({ value }) => value > 0).map(({ value, kind }) => {
      const tall = (value / end) * height;
      top -= tall;
      return { kind, x: round(at * step + step * 0.1), y: round(top), width: round(step * 0.8), height: round(tall) };
    });
  });
}

const round = (value) => Math.round(value * 100) / 100;

/**
 * A figure: curves (`series` of `{name, values}`, of `kind` if they have a look of their own) or bars over `labels`; `said` writes a value of the axis, `summary` is the
 * whole in a sentence. `threshold` is a line across, `{value, name}`.
 */
export function figure({ key, title, summary, labels, series, said, stacked = false, threshold = null, begin = 0, cells = null }) {
  const all = stacked ? labels.map((_, at) => series.reduce((total, { values }) => total + (values[at] ?? 0), 0)) : series.flatMap(({ values }) => values);
  const end = axisEnd(Math.max(threshold?.value ?? 0, 0, ...all.filter((value) => value !== null)));
  return h("figure", { class: "chart", "data-key": key },
    h("figcaption", {}, h("span", { class: "strong" }, title),
      h("ul", { class: "legend", "aria-hidden": "true" }, series.length > 1 || stacked || threshold ? [
        series.map(({ name, kind }, at) => h("li", { "data-key": `series ${at}` }, swatch(kind ?? at + 1, stacked), name)),
        threshold ? h("li", { "data-key": "threshold" }, swatch("threshold", false), threshold.name) : null] : null)),
    h("div", { class: "plot" },
      h("div", { class: "axis fine", "aria-hidden": "true" }, [end, (end + begin) / 2, begin].map((value) => h("span", {}, said(value)))),
      drawing({ summary, labels, series, end, begin, stacked, threshold, said, cells })),
    h("div", { class: "ends fine", "aria-hidden": "true" }, h("span", {}, labels[0] ?? ""), h("span", {}, labels.length > 1 ? labels.at(-1) : "")),
    h("details", { class: "behind", "data-key": `table ${key}` }, h("summary", {}, "As a table"), behind({ title, labels, series, said, cells })));
}

function drawing({ summary, labels, series, end, begin, stacked, threshold, said, cells }) {
  const svg = s("svg", { class: "drawing", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary });
  for (const share of [0, 0.5, 1]) svg.append(s("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * share, y2: HEIGHT * share }));
  if (stacked) {
    const places = labels.map((_, at) => series.map(({ values, kind }, of) => ({ value: values[at] ?? 0, kind: kind ?? of + 1 })));
    for (const { kind, ...box } of stacks(places, end)) svg.append(s("rect", { class: `part part-${kind}`, ...box }));
  } else {
    series.forEach(({ values }, at) => svg.append(s("path", { class: `curve curve-${at + 1}`, d: curve(values, end, { begin }) })));
  }
  if (threshold) {
    const y = HEIGHT - ((threshold.value - begin) / (end - begin)) * HEIGHT;
    svg.append(s("line", { class: "curve curve-threshold", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const step = WIDTH / (labels.length || 1);
  labels.forEach((label, at) => {
    const words = series.map(({ name, values }, of) => `${name} ${cells ? cells[of][at] : values[at] === null ? "–" : said(values[at])}`).join(", ");
    svg.append(s("rect", { class: "hit", x: round(at * step), y: 0, width: round(step), height: HEIGHT }, s("title", {}, `${label}: ${words}`)));
  });
  return svg;
}

function behind({ title, labels, series, said, cells }) {
  return scrolled(title, h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), series.map(({ name }) => h("th", { scope: "col", class: "figure-cell" }, name)))),
    h("tbody", {}, labels.map((label, at) => h("tr", { "data-key": label }, h("th", { scope: "row" }, label),
      series.map(({ values }, of) => h("td", { class: "figure-cell" }, cells ? cells[of][at] : values[at] === null || values[at] === undefined ? "–" : said(values[at]))))))));
}

/** A table that scrolls sideways where it has to, by the keyboard too. */
export function scrolled(label, table) {
  return h("div", { class: "scrolled", role: "region", "aria-label": `Table: ${label}`, tabindex: "0" }, table);
}

/** Steps, each as wide as its share of the first, with its count and share in words. */
export function funnel(steps) {
  return h("ol", { class: "funnel" }, steps.map(({ name, count, share, words }) => h("li", { "data-key": name },
    h("span", { class: "grow" }, name), h("span", { class: "strong" }, count), h("span", { class: "muted of" }, words),
    level(share))));
}

/** How full something is, from 0 to 1; decoration, for the words beside it say the same. */
export function level(share, kind = "good", marks = []) {
  const svg = s("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: kind, x: 0, y: 0, width: round(Math.min(Math.max(share ?? 0, 0), 1) * 100), height: 4 }));
  for (const { at, kind: of } of marks) svg.append(s("rect", { class: of, x: round(Math.min(Math.max(at, 0), 0.995) * 100), y: 0, width: 0.5, height: 4 }));
  return svg;
}

function swatch(kind, stacked) {
  return s("svg", { class: "swatch", viewBox: "0 0 24 8" }, stacked
    ? s("rect", { class: `part part-${kind}`, x: 4, y: 0, width: 16, height: 8 })
    : s("path", { class: `curve curve-${kind}`, d: "M0 4L24 4" }));
}

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
