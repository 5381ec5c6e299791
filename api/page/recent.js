// The newest jobs, kept up to date while the page is seen; `open(id)` when one is chosen.

import { actions } from "./actions.js";
import { byId, chip, counted, el, notice, when } from "./element.js";
import { ENDED, Problem, ask } from "./service.js";

const PAGE = 20;
const LIVELY_S = 2;
const QUIET_S = 15;

export function recentJobs(open, removed) {
  let jobs = [];
  let cursor = null;
  let timer = null;
  let asking = null;
  let current = null;
  const rows = new Map(); // id -> {text, row}: what has not changed keeps its element, and the focus in it

  function show() {
    const shown = jobs.map((job) => {
      const text = JSON.stringify([job, when(job.created_at).textContent]);
      const known = rows.get(job.id);
      if (known && (known.text === text || known.row.contains(document.activeElement) && known.status === job.status)) return known.row;
      const made = row(job);
      rows.set(job.id, { text, status: job.status, row: made });
      return made;
    });
    const ids = new Set(jobs.map((job) => job.id));
    for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
    const list = byId("jobs");
    if (shown.length !== list.children.length || shown.some((one, index) => one !== list.children[index])) list.replaceChildren(...shown);
    byId("no-jobs").hidden = jobs.length > 0;
    byId("more").hidden = cursor === null;
    mark(current);
  }

  function row(job) {
    const what = job.counts.total === 1 ? "1 picture" : `${counted(job.counts.total, "picture")}${job.counts.failed ? `, ${job.counts.failed} failed` : ""}`;
    const position = job.status === "queued" && job.queue_position ? `queued · place ${job.queue_position}` : job.status;
    const said = el("div", { class: "row-notice" });
    return el("li", { "data-job": job.id },
      el("button", { type: "button", class: "open", onclick: () => open(job.id) },
        chip(job.status, position),
        el("span", {}, what),
        el("span", { class: "soft" }, job.model.name),
        el("span", { class: "soft" }, when(job.created_at))),
      actions(job, (changed) => {
        if (changed === null) {
          jobs = jobs.filter((one) => one.id !== job.id);
          show();
          byId("recent-title").focus();
          removed(job.id);
        } else open(job.id);
        refresh();
      }, (element) => said.replaceChildren(...(element ? [element] : []))),
      said);
  }

  /** Marks the row of the job that is looked at. */
  function mark(id) {
    current = id;
    for (const [job, { row: one }] of rows) one.toggleAttribute("data-open", job === id);
  }

  async function refresh() {
    clearTimeout(timer);
    asking?.abort();
    const mine = new AbortController();
    asking = mine;
    let wait = QUIET_S;
    try {
      const page = await ask("list", { query: { limit: PAGE, status: byId("filter").value }, signal: mine.signal });
      const fresh = new Set(page.jobs.map((job) => job.id));
      const older = jobs.length > PAGE ? jobs.slice(PAGE).filter((job) => !fresh.has(job.id)) : [];
      if (!older.length) cursor = page.next;
      jobs = [...page.jobs, ...older];
      byId("recent-notice").replaceChildren();
      show();
      if (jobs.some((job) => !ENDED.has(job.status))) wait = LIVELY_S;
    } catch (error) {
      if (mine.signal.aborted) return;
      byId("recent-notice").replaceChildren(notice(error));
      if (error instanceof Problem && error.again === null) return; // 401: when there is a key
      wait = Math.max(LIVELY_S, error.again || QUIET_S);
    }
    if (!document.hidden) timer = setTimeout(refresh, 1000 * wait);
  }

  async function more() {
    byId("more").disabled = true;
    try {
      const page = await ask("list", { query: { limit: PAGE, status: byId("filter").value, after: cursor } });
      const known = new Set(jobs.map((job) => job.id));
      jobs = [...jobs, ...page.jobs.filter((job) => !known.has(job.id))];
      cursor = page.next;
      show();
    } catch (error) {
      byId("recent-notice").replaceChildren(notice(error));
    } finally {
      byId("more").disabled = false;
    }
  }

  byId("more").addEventListener("click", more);
  byId("filter").addEventListener("change", () => {
    jobs = [];
    refresh();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  return { refresh, mark };
}
