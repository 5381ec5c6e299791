// Detections -> boxes over the picture and a list beside it; what is pointed at in one is marked in both.

import { el } from "./element.js";

const COLOURS = 10; // .c0 to .c9 of the style
const NEAR_TOP = 0.06;

const colour = (found) => `c${found.class_id % COLOURS}`;
export const percent = (part) => `${(100 * part).toFixed(1)} %`;

/** Two elements, `layer` (for a frame of the picture's shape) and `list`, of detections in pixels of `size`. */
export function overlay(detections, size) {
  const layer = el("div", { class: "layer", "aria-hidden": "true" });
  const list = el("ol", { class: "found" });
  const pairs = detections.map((found) => ({ box: box(found, size), row: row(found) }));
  let pinned = null;

  function mark(pair) {
    const marked = pair || pinned;
    layer.classList.toggle("marked", marked !== null);
    for (const one of pairs) {
      one.box.classList.toggle("on", one === marked);
      one.row.classList.toggle("on", one === marked);
      one.row.setAttribute("aria-pressed", String(one === pinned));
    }
  }
  function pin(pair) {
    pinned = pinned === pair ? null : pair;
    mark(null);
  }
  for (const pair of pairs) {
    for (const part of [pair.box, pair.row]) {
      part.addEventListener("pointerenter", () => mark(pair));
      part.addEventListener("pointerleave", () => mark(null));
      part.addEventListener("click", () => pin(pair));
    }
    pair.row.addEventListener("focus", () => mark(pair));
    pair.row.addEventListener("blur", () => mark(null));
    list.append(el("li", {}, pair.row));
  }
  // The small ones above the large ones, so that each can be pointed at.
  const area = (index) => detections[index].box.width * detections[index].box.height;
  const order = pairs.map((_, index) => index).sort((a, b) => area(b) - area(a));
  layer.append(...order.map((index) => pairs[index].box));
  return { layer, list };
}

function box(found, size) {
  const { x, y, width, height } = found.box;
  const made = el("div", { class: `box ${colour(found)}` }, el("span", { class: "label", "data-confidence": found.confidence }, `${found.label} ${percent(found.confidence)}`));
  Object.assign(made.style, {
    left: `${(100 * x) / size.width}%`,
    top: `${(100 * y) / size.height}%`,
    width: `${(100 * width) / size.width}%`,
    height: `${(100 * height) / size.height}%`,
  });
  made.classList.toggle("inside", y / size.height < NEAR_TOP);
  made.classList.toggle("leftward", x / size.width > 0.75);
  return made;
}

function row(found) {
  const bar = el("span", { class: "bar" }, el("span", { class: colour(found) }));
  bar.firstChild.style.width = `${100 * found.confidence}%`;
  const { x, y, width, height } = found.box;
  return el("button", { type: "button", class: "found-row", "aria-pressed": "false" },
    el("span", { class: `swatch ${colour(found)}` }),
    el("span", { class: "name" }, found.label),
    el("span", { class: "value" }, percent(found.confidence)),
    bar,
    el("span", { class: "hint" }, `${Math.round(width)} × ${Math.round(height)} at ${Math.round(x)}, ${Math.round(y)}`));
}

/** Hides, until their box is pointed at, labels that would cover another's: the surest keep theirs. */
export function uncover(layer) {
  const taken = [];
  const labels = [...layer.querySelectorAll(".label")].sort((a, b) => b.dataset.confidence - a.dataset.confidence);
  for (const label of labels) {
    const one = label.getBoundingClientRect();
    const covers = taken.some((two) => one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom);
    label.classList.toggle("covered", covers);
    if (!covers) taken.push(one);
  }
}
