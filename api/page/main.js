// Puts the parts together: what is sent is opened, what is opened is in the address (#job_...), and a 401 asks for a key.

import { composer } from "./composer.js";
import { byId, counted } from "./element.js";
import { jobPanel } from "./job.js";
import { recentJobs } from "./recent.js";
import { Problem, ask, door, hasKey, pause, useKey } from "./service.js";

const SENT = 20; // requests that are remembered, so that their jobs show the picture that was sent
const READY_S = 15;
const NOT_READY_S = 2;

const sent = new Map();
const panel = jobPanel(() => recent.refresh());
const recent = recentJobs(show, (id) => panel.shown() === id && show(""));
const form = composer((job, request) => {
  sent.set(job.id, request);
  if (sent.size > SENT) sent.delete(sent.keys().next().value);
  show(job.id);
  recent.refresh();
  if (matchMedia("(max-width: 60rem)").matches) byId("job").scrollIntoView({ block: "start" });
});

/** Opens a job, or none. */
function show(id) {
  if (location.hash.slice(1) === id) open();
  else location.hash = id; // and the change of it opens
}

function open() {
  const id = location.hash.slice(1);
  recent.mark(id);
  if (/^job_[\w-]+$/.test(id)) panel.open(id, sent.get(id));
  else panel.close();
}
addEventListener("hashchange", open);

// -- the key ---------------------------------------------------------------------------------------------------------

door.addEventListener("closed", ({ detail: problem }) => {
  if (!byId("door").hidden) return;
  byId("door").hidden = false;
  document.body.classList.add("closed");
  byId("door-why").textContent = hasKey() ? "That key is not valid here." : "This service answers those who have a key.";
  byId("door-why").title = problem.detail;
  byId("forget").hidden = true;
  byId("key").focus();
});
byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("key").value = "";
  byId("door").hidden = true;
  document.body.classList.remove("closed");
  begin();
});
byId("forget").addEventListener("click", () => {
  useKey("");
  location.hash = "";
  location.reload();
});

// -- the service -----------------------------------------------------------------------------------------------------

async function watchService() {
  for (;;) {
    let wait = NOT_READY_S;
    try {
      const { workers, model } = await ask("ready");
      state("ready", `ready · ${counted(workers, "worker")}`, `Unless a job says otherwise, ${model} answers.`);
      wait = READY_S;
      await offer();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      state("down", error.status ? "not ready" : "no answer", error.detail);
      wait = error.again || NOT_READY_S;
    }
    do await pause(wait);
    while (document.hidden);
  }
}

async function offer() {
  if (byId("door").hidden) form.offer((await ask("models")).models);
}

function state(kind, text, title) {
  byId("ready").dataset.state = kind;
  byId("ready").querySelector(".text").textContent = text;
  byId("ready").title = title;
}

async function begin() {
  byId("forget").hidden = !hasKey();
  byId("docs").hidden = hasKey(); // a browser sends no key with a link
  recent.refresh();
  open();
  offer().catch((error) => {
    if (!(error instanceof Problem)) throw error; // the state of the service says it
  });
}

ask("discover").then(({ version }) => (byId("version").textContent = `Spotter ${version}`), () => {});
begin();
watchService();
