// Pieces of the document. Texts from anywhere become text nodes, never markup.

import { Problem } from "./service.js";

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`onclick` and its like: listeners; true and false: there or not) and children. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== false));
  return made;
}

/** What went wrong, in the words of the problem. */
export function notice(problem, ...more) {
  const known = problem instanceof Problem;
  if (!known) console.error(problem);
  return el("div", { class: "notice bad", role: "alert" },
    el("strong", {}, known ? problem.title : "The page itself has a fault"),
    el("p", {}, known ? problem.detail : "Reload it; the browser’s console has the details."),
    known && problem.fields.length > 0 &&
      el("ul", {}, ...problem.fields.map((one) => el("li", {}, el("code", {}, one.field), ` ${one.reason}`))),
    known && problem.requestId !== "" && el("p", { class: "hint" }, "Request ", el("code", {}, problem.requestId)),
    ...more);
}

/** Text with a button that copies it. */
export function copyable(text, label) {
  const shown = el("pre", { tabindex: "0", "aria-label": label }, text);
  const button = el("button", { type: "button", class: "plain copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown); // no clipboard without https, but a key press copies it now
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return el("div", { class: "copyable" }, button, shown);
}

/** A status as a dot and a word. */
export const chip = (status, text = status) =>
  el("span", { class: "chip", "data-state": status }, el("span", { class: "dot" }), el("span", { class: "text" }, text));

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

/** `3 min. ago`, with the whole of it as a title. */
export function when(text) {
  const at = new Date(text);
  let value = Math.min(0, (at - Date.now()) / 1000);
  for (const [size, unit] of STEPS) {
    if (Math.abs(value) < size) {
      const said = unit === "second" && value > -10 ? "just now" : relative.format(Math.round(value), unit);
      return el("time", { datetime: text, title: at.toLocaleString() }, said);
    }
    value /= size;
  }
  return el("time", { datetime: text }, text);
}
