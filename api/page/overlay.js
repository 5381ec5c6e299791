// Detections -> boxes over the picture and a list beside it; what is pointed at in one is marked in both.

import { el } from "./element.js";

const COLOURS = 10; // .c0 to .c9 of the style
const ASIDE = ["inside", "below", "rightward"];
const PLACES = [[], ["inside"], ["rightward"], ["below"], ["below", "rightward"], ["inside", "rightward"]];

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
  const label = el("span", { class: "label" }, `${found.label} ${percent(found.confidence)}`);
  const made = el("div", { class: `box ${colour(found)}`, "data-confidence": found.confidence }, label);
  Object.assign(made.style, {
    left: `${(100 * x) / size.width}%`,
    top: `${(100 * y) / size.height}%`,
    width: `${(100 * width) / size.width}%`,
    height: `${(100 * height) / size.height}%`,
  });
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

/** Finds each label a place where it covers no other and does not leave the picture, the surest first. What has none
    is hidden until its box is pointed at. */
export function uncover(layer) {
  const taken = [];
  const whole = layer.getBoundingClientRect();
  const fits = (one) =>
    one.left >= whole.left - 3 && one.right <= whole.right + 3 && one.top >= whole.top && one.bottom <= whole.bottom &&
    !taken.some((two) => one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom);
  const boxes = [...layer.children].sort((a, b) => b.dataset.confidence - a.dataset.confidence);
  for (const box of boxes) {
    const label = box.querySelector(".label");
    const place = PLACES.find((classes) => {
      box.classList.remove(...ASIDE);
      box.classList.add(...classes);
      return fits(label.getBoundingClientRect());
    });
    label.classList.toggle("covered", place === undefined);
    if (place) taken.push(label.getBoundingClientRect());
  }
}
