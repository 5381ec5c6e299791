// The job that is looked at: its status as it changes, its pictures with their boxes, its JSON, and the command that
// does the same. One at a time, so one stream at a time.

import { actions } from "./actions.js";
import { byId, chip, copyable, counted, el, notice, when } from "./element.js";
import { figure, said, source, strip } from "./picture.js";
import { ENDED, Problem, ask, call, events, hasKey, pause } from "./service.js";
import { lookCommand } from "./submission.js";

const MOST = 200; // pictures of a job that are shown
const POSITION_S = 2;

/** `changed()`: something of the job may have changed in lists, too. */
export function jobPanel(changed) {
  let now = null; // what is open; made in `open`

  const parts = Object.fromEntries(["head", "notice", "progress", "strip", "picture", "details"].map((name) => [name, el("div", { class: `part-${name}` })]));
  byId("job-shown").append(...Object.values(parts));

  function leave() {
    now?.abort.abort();
    if (now?.url) URL.revokeObjectURL(now.url);
    now = null;
  }

  function close() {
    leave();
    byId("job-shown").hidden = true;
    byId("job-empty").hidden = false;
    byId("job").setAttribute("aria-labelledby", "job-title");
  }

  /** Shows a job. `sent`: the request that made it, if it was made here. */
  async function open(id, sent = null) {
    const again = now?.id === id;
    const mine = {
      id, sent, job: null, results: new Map(), ended: new Set(), shown: again ? now.shown : 0,
      abort: new AbortController(), soon: false, drawing: null, picture: null, url: null, figure: "",
    };
    leave();
    now = mine;
    for (const part of again ? [parts.notice] : Object.values(parts)) part.replaceChildren();
    byId("job-shown").hidden = false;
    byId("job-empty").hidden = true;
    try {
      await look(mine);
      if (!ENDED.has(mine.job.status)) await follow(mine);
      else if (!mine.job.results) await readLines(mine);
    } catch (error) {
      if (now === mine && !mine.abort.signal.aborted) await refused(mine, error);
    }
  }

  async function refused(mine, error) {
    parts.notice.replaceChildren(notice(error));
    if (!mine.job) parts.head.replaceChildren(el("h2", { id: "shown-title" }, "Job"), el("code", { class: "hint" }, mine.id));
    if (!(error instanceof Problem) || error.again === null) return;
    try {
      await pause(Math.max(1, error.again), mine.abort.signal);
    } catch {
      return; // another job is open
    }
    open(mine.id, mine.sent);
  }

  // -- what is known of it -------------------------------------------------------------------------------------------

  async function look(mine) {
    const job = await ask("look", { values: { job: mine.id }, signal: mine.abort.signal });
    if (now !== mine) return;
    if (!mine.job && !ENDED.has(job.status)) byId("said").textContent = `Job ${job.status}.`;
    mine.job = job;
    for (const one of job.results || []) {
      mine.results.set(one.index, one);
      if (ENDED.has(one.status)) mine.ended.add(one.index);
    }
    showHead(mine);
    showProgress(mine);
    showStrip(mine);
    await showPicture(mine);
    showDetails(mine);
  }

  async function follow(mine) {
    const { signal } = mine.abort;
    const waiting = watchPosition(mine);
    try {
      for await (const event of events(mine.id, signal)) {
        if (event.name === "picture") await tellPicture(mine, event.data);
        else if (!ENDED.has(event.name)) await tellStatus(mine, event);
      }
    } finally {
      waiting.abort();
    }
    await look(mine);
    announce(mine);
    changed();
  }

  async function tellPicture(mine, result) {
    mine.ended.add(result.index);
    soon(mine);
    if (result.index >= MOST) return;
    const before = mine.results.get(result.index);
    mine.results.set(result.index, result);
    if (result.index === mine.shown && before?.status !== result.status) await showPicture(mine);
  }

  async function tellStatus(mine, { name, data }) {
    const { status, at } = { status: name, at: data.at };
    if (status === mine.job.status) return;
    mine.job = { ...mine.job, status, queue_position: null, ...(status === "running" && { started_at: at }) };
    if (status === "running") for (const one of mine.results.values()) if (one.status === "queued" && mine.job.counts.total === 1) mine.results.set(one.index, { ...one, status });
    showHead(mine);
    showStrip(mine);
    await showPicture(mine);
    changed();
  }

  /** While it waits its place in the queue changes with others' jobs, of which it has no events. */
  function watchPosition(mine) {
    const stop = new AbortController();
    (async () => {
      while (mine.job.status === "queued") {
        await pause(POSITION_S, AbortSignal.any([stop.signal, mine.abort.signal]));
        if (mine.job.status !== "queued" || document.hidden) continue;
        const { status, queue_position: position } = await ask("look", { values: { job: mine.id }, signal: mine.abort.signal });
        if (mine.job.status !== "queued" || status !== "queued") return;
        mine.job = { ...mine.job, queue_position: position };
        showHead(mine);
      }
    })().catch((error) => {
      if (error.name !== "AbortError" && !(error instanceof Problem)) console.error(error); // the stream tells of problems
    });
    return stop;
  }

  /** A job of more than a hundred pictures has its results as lines. */
  async function readLines(mine) {
    const answer = await call("results", { values: { job: mine.id }, query: { after: 0, limit: MOST }, signal: mine.abort.signal });
    for (const line of (await answer.text()).split("\n").filter(Boolean)) {
      const { place: _, ...result } = JSON.parse(line);
      mine.results.set(result.index, result);
    }
    mine.shown = Math.min(...mine.results.keys());
    showStrip(mine);
    await showPicture(mine);
  }

  function announce(mine) {
    const results = [...mine.results.values()];
    const text = results.length === 1 ? said(results[0]) : counted(mine.job.counts.total, "picture");
    byId("said").textContent = `Job ${mine.job.status}. ${text}.`;
  }

  // -- how it is shown -----------------------------------------------------------------------------------------------

  function showHead(mine) {
    const { job } = mine;
    const position = job.status === "queued" && job.queue_position ? `queued · place ${job.queue_position}` : job.status;
    const model = [job.model.name, job.model.version].filter(Boolean).join(" @ ");
    const names = mine.sent?.files.map((file) => file.name) || [];
    const title = job.counts.total === 1 ? names[0] || mine.results.get(0)?.id || "One picture" : counted(job.counts.total, "picture");
    parts.head.replaceChildren(
      el("div", { class: "head" }, el("h2", { id: "shown-title" }, title), chip(job.status, position)),
      el("p", { class: "soft meta" }, el("span", {}, model), el("span", {}, when(job.created_at)), el("code", {}, job.id)),
      actions(job, (changedTo) => {
        changed();
        if (changedTo === null) location.hash = "";
        else open(mine.id, mine.sent);
      }, (element) => parts.notice.replaceChildren(...(element ? [element] : []))));
    byId("job").setAttribute("aria-labelledby", "shown-title");
  }

  function showProgress(mine) {
    const { total } = mine.job.counts;
    if (total === 1) return;
    const done = ENDED.has(mine.job.status) ? total : mine.ended.size;
    const some = total > MOST ? `; the first ${MOST} are shown` : "";
    parts.progress.replaceChildren(el("progress", { max: total, value: done, "aria-label": "Pictures that are ready" }),
      el("span", { class: "soft" }, `${done.toLocaleString("en")} of ${total.toLocaleString("en")}${some}`));
  }

  /** Of many pictures in one moment the page is drawn once. */
  function soon(mine) {
    if (mine.soon) return;
    mine.soon = true;
    requestAnimationFrame(() => {
      mine.soon = false;
      if (now !== mine) return;
      showProgress(mine);
      showStrip(mine);
    });
  }

  function showStrip(mine) {
    if (mine.job.counts.total === 1) return;
    const focused = parts.strip.contains(document.activeElement);
    const results = [...mine.results.values()].sort((a, b) => a.index - b.index).slice(0, MOST);
    parts.strip.replaceChildren(strip(results, mine.shown, (index) => {
      mine.shown = index;
      showStrip(mine);
      showPicture(mine);
    }));
    if (focused) parts.strip.querySelector("[aria-pressed=true]")?.focus();
  }

  async function showPicture(mine) {
    const result = mine.results.get(mine.shown);
    if (!result) return;
    const turn = Symbol("turn");
    mine.drawing = turn; // of two that overlap the later one counts
    const name = `${result.index} ${ENDED.has(result.status)}`;
    if (mine.picture?.name !== name) {
      try {
        mine.picture = { name, found: await source(mine.job, result, mine.sent, mine.abort.signal) };
      } catch (error) {
        if (mine.abort.signal.aborted) return;
        parts.notice.replaceChildren(notice(error));
      }
    }
    const seen = mine.picture?.name === name ? mine.picture.found : null;
    if (now !== mine || mine.drawing !== turn) return;
    const figureNow = JSON.stringify([result, seen !== null]);
    if (mine.figure === figureNow) return; // what is pointed at stays so
    mine.figure = figureNow;
    if (mine.url) URL.revokeObjectURL(mine.url);
    mine.url = seen && URL.createObjectURL(seen.blob);
    parts.picture.replaceChildren(figure(result, seen && { url: mine.url, drawn: seen.drawn }));
  }

  function showDetails(mine) {
    const curl = mine.sent?.curl || lookCommand(mine.id, hasKey());
    parts.details.replaceChildren(
      el("details", {}, el("summary", {}, "The same with curl"), copyable(curl, "Command")),
      el("details", {}, el("summary", {}, "The answer as JSON"), copyable(JSON.stringify(mine.job, null, 2), "JSON")));
  }

  return { open, close, shown: () => now?.id || null };
}
