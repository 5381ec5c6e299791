// One picture of a job: itself where it is to be had, what was found in it, and where its time went.

import { chip, counted, el } from "./element.js";
import { overlay, uncover } from "./overlay.js";
import { Problem, file } from "./service.js";

const STAGES = [
  ["queue_ms", "waiting in the queue"],
  ["fetch_ms", "fetching"],
  ["decode_ms", "decoding"],
  ["batch_wait_ms", "waiting for the model"],
  ["infer_ms", "model run"],
  ["select_ms", "selecting boxes"],
];
const WAITS = new Set(["queued", "running"]);

/** Where the picture of a result can be seen: `{blob, drawn}`, or null where it is kept nowhere, or not yet. */
export async function source(job, result, sent, signal) {
  const own = sent?.files[result.index];
  if (own) return { blob: own, drawn: false };
  const kinds = [];
  if (job.links.pictures && result.status === "succeeded") kinds.push("true");
  if (!sent) kinds.push(""); // what was sent here without a file came by address, and is not kept
  for (const draw of kinds) {
    try {
      const headers = { Accept: "image/jpeg, image/*;q=0.5" };
      const found = await file("picture", { values: { job: job.id, index: result.index }, query: { draw }, headers, signal });
      return { blob: found.blob, drawn: draw !== "" };
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
    }
  }
  return null;
}

/** A figure of the result. `seen`: `{url, drawn}` of the picture, or null. */
export function figure(result, seen) {
  const frame = el("div", { class: `frame${WAITS.has(result.status) ? " working" : ""}${seen?.drawn ? " drawn" : ""}` });
  const shape = (size) => frame.style.setProperty("--ratio", String(size.width / size.height));
  if (result.image) shape(result.image);
  if (seen) {
    const image = el("img", { src: seen.url, alt: said(result) });
    if (!result.image) image.addEventListener("load", () => shape({ width: image.naturalWidth, height: image.naturalHeight }));
    image.addEventListener("error", () => image.replaceWith(absent("This browser cannot show the picture; its boxes are right.")));
    frame.append(image);
  } else {
    frame.append(absent(WAITS.has(result.status) ? "" : "The picture itself is not kept here."));
  }
  const drawn = result.detections && result.image ? overlay(result.detections, result.image) : null;
  if (drawn) {
    frame.append(drawn.layer);
    new ResizeObserver(() => uncover(drawn.layer)).observe(frame); // gone with the frame
  }
  const beside = el("div", { class: "beside" });
  if (result.error) beside.append(failure(result.error));
  else if (drawn) beside.append(el("h3", {}, counted(result.detections.length, "object")), drawn.list);
  if (drawn && result.detections.length === 0) beside.append(el("p", { class: "soft" }, "Nothing was found. A lower confidence may show more."));
  else if (WAITS.has(result.status)) beside.append(el("p", { class: "soft" }, result.status === "queued" ? "Waiting for its turn." : "Looking …"));
  const nothing = !seen && !drawn && !WAITS.has(result.status);
  return el("div", { class: `figure${nothing ? " alone" : ""}` }, nothing ? null : frame, beside, result.timings ? timings(result) : null);
}

const absent = (text) => el("p", { class: "absent" }, text);

const failure = (error) =>
  el("div", { class: "notice bad" }, el("strong", {}, error.title), el("p", {}, error.detail), el("p", { class: "hint" }, el("code", {}, error.code)));

/** `2 dogs, 1 truck`, for those who do not see the boxes. */
export function said(result) {
  const name = result.id || `Picture ${result.index + 1}`;
  if (!result.detections) return `${name}: ${result.error ? result.error.title : result.status}`;
  const counts = new Map();
  for (const one of result.detections) counts.set(one.label, (counts.get(one.label) || 0) + 1);
  return `${name}: ${[...counts].map(([label, count]) => `${count} ${label}`).join(", ") || "nothing found"}`;
}

function timings(result) {
  const { timings: times } = result;
  const most = Math.max(...STAGES.map(([field]) => times[field]), 0.001);
  const rows = STAGES.map(([field, label]) => {
    const bar = el("span", { class: "bar" }, el("span", {}));
    bar.firstChild.style.width = `${(100 * times[field]) / most}%`;
    return el("tr", {}, el("th", { scope: "row" }, label), el("td", {}, bar), el("td", { class: "value" }, milliseconds(times[field])));
  });
  const how = `${times.provider}, ${times.precision}, batch of ${times.batch_size}`;
  return el("details", { open: true, class: "timings" },
    el("summary", {}, "Timings ", el("span", { class: "value" }, milliseconds(times.total_ms))),
    el("table", {}, el("tbody", {}, ...rows)),
    el("p", { class: "hint" }, result.cached ? `From an earlier run of the same picture: ${how}.` : how));
}

const milliseconds = (value) => `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`;

/** Buttons for the pictures of a job; `choose(index)` when one is pressed. */
export function strip(results, shown, choose) {
  return el("div", { class: "strip", role: "group", "aria-label": "Pictures of this job" },
    ...results.map((one) => {
      const label = one.detections ? String(one.detections.length) : "";
      const button = el("button", { type: "button", "aria-pressed": String(one.index === shown), title: said(one),
        "aria-label": `${one.index + 1}: ${said(one)}`, onclick: () => choose(one.index) }, chip(one.status, `${one.index + 1}`));
      if (label) button.append(el("span", { class: "hint" }, label));
      return button;
    }));
}
