// What may be done with a job now, as buttons: cancel, retry, delete, download. `links` of the job say what it is.

import { byId, el, notice } from "./element.js";
import { ENDED, ask, call, file } from "./service.js";

const FORMS = [["coco", "COCO"], ["yolo", "YOLO (zip)"], ["voc", "Pascal VOC (zip)"], ["labelstudio", "Label Studio"], ["csv", "CSV"]];

/** Buttons of a job. `done(job)` after each that changed it, with null where it is gone; `refused(element)` shows why not. */
export function actions(job, done, refused) {
  const trying = (work) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    refused(null);
    try {
      await work();
    } catch (error) {
      refused(notice(error));
    } finally {
      button.disabled = false;
    }
  };
  const values = { job: job.id };
  const button = (text, work, kind = "") => el("button", { type: "button", class: kind, onclick: trying(work) }, text);
  const made = [];
  if (job.links.cancel) made.push(button("Cancel", async () => done(await ask("cancel", { values }))));
  if (job.links.retry) made.push(button("Try again", async () => done(await ask("retry", { values }))));
  if (job.links.export) {
    made.push(menu("Download", [
      ...FORMS.map(([format, text]) => [text, trying(async () => keep(await file("export", { values, query: { format } })))]),
      ["JSON Lines", trying(async () => keep(await file("results", { values }), `${job.id}.jsonl`))],
    ]));
  }
  made.push(button("Delete", async () => {
    if (!(await sure(job))) return;
    await call("remove", { values });
    done(null);
  }, "danger"));
  return el("div", { class: "actions" }, ...made);
}

function keep({ blob, name }, otherwise) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name || otherwise || "" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Asks. Resolves to whether it is to be deleted. */
function sure(job) {
  const dialog = byId("sure");
  byId("sure-runs").hidden = ENDED.has(job.status);
  dialog.returnValue = "keep"; // also of Escape
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true }));
}

/** A button that opens a list of others; Escape, a choice and a look elsewhere close it. */
function menu(text, entries) {
  const summary = el("summary", { class: "button" }, text);
  const made = el("details", { class: "menu" }, summary,
    el("ul", {}, ...entries.map(([label, work]) => el("li", {}, el("button", { type: "button", onclick: (event) => {
      made.open = false;
      summary.focus();
      work(event);
    } }, label)))));
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !made.open) return;
    made.open = false;
    summary.focus();
  });
  made.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !made.contains(event.relatedTarget)) made.open = false;
  });
  return made;
}

document.addEventListener("pointerdown", (event) => {
  for (const open of document.querySelectorAll("details.menu[open]")) if (!open.contains(event.target)) open.open = false;
});
