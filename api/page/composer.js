// The form: pictures by choice, drop, paste or address; model, threshold, classes; and the sending of it, again where
// the service says when. Tells `sent(job, request)` of each job; knows nothing of what becomes of it.

import { byId, counted, el, notice } from "./element.js";
import { ROOT, Problem, ask, hasKey, pause } from "./service.js";
import { addresses, requests } from "./submission.js";

const TRIES = 5;
const PREVIEWS = 60;

export function composer(sent) {
  const state = { files: [], classes: [], models: [], stop: null };

  // -- pictures ------------------------------------------------------------------------------------------------------

  const urls = new Map(); // file -> address of its preview
  function showFiles() {
    for (const [file, url] of urls) {
      if (!state.files.includes(file)) {
        URL.revokeObjectURL(url);
        urls.delete(file);
      }
    }
    const shown = state.files.slice(0, PREVIEWS).map((file) => {
      if (!urls.has(file)) urls.set(file, URL.createObjectURL(file));
      return el("li", {},
        el("img", { src: urls.get(file), alt: "" }),
        el("span", { class: "name" }, file.name),
        el("button", { type: "button", class: "plain", "aria-label": `Leave out ${file.name}`, onclick: () => leaveOut(file) }, "✕"));
    });
    const rest = state.files.length - shown.length;
    byId("chosen").replaceChildren(...shown, ...(rest > 0 ? [el("li", {}, `and ${rest} more`)] : []));
    byId("chosen").hidden = state.files.length === 0;
    byId("sample").hidden = state.files.length > 0;
    byId("send").textContent = state.files.length > 1 ? `Detect in ${counted(state.files.length, "picture")}` : "Detect";
  }
  function leaveOut(file) {
    state.files = state.files.filter((one) => one !== file);
    showFiles();
    byId("files").focus();
  }
  function take(list) {
    const pictures = [...list].filter((file) => file.type === "" || file.type.startsWith("image/"));
    state.files.push(...pictures);
    byId("compose-notice").replaceChildren(
      ...(pictures.length < list.length ? [el("p", { class: "notice", role: "alert" }, "What is no picture was left out.")] : []));
    showFiles();
  }

  byId("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  const drop = byId("drop");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  byId("sample").addEventListener("click", async () => {
    try {
      const answer = await fetch(new URL("page/dog.jpg", ROOT));
      if (!answer.ok) throw new Problem({ title: "The sample picture is not to be had", status: answer.status });
      take([new File([await answer.blob()], "dog.jpg", { type: "image/jpeg" })]);
      send();
    } catch (error) {
      byId("compose-notice").replaceChildren(notice(error instanceof TypeError ? new Problem({ title: "The service does not answer" }) : error));
    }
  });

  // -- options -------------------------------------------------------------------------------------------------------

  const threshold = byId("threshold");
  let own = true;
  function showThreshold() {
    byId("threshold-shown").textContent = own ? "model’s own" : Number(threshold.value).toFixed(2);
    byId("threshold-own").hidden = own;
    threshold.classList.toggle("own", own);
    threshold.setAttribute("aria-valuetext", own ? "the model’s own" : threshold.value);
  }
  threshold.addEventListener("input", () => {
    own = false;
    showThreshold();
  });
  byId("threshold-own").addEventListener("click", () => {
    own = true;
    threshold.value = "0.25";
    showThreshold();
    threshold.focus();
  });
  showThreshold();

  function showClasses() {
    byId("classes").replaceChildren(...state.classes.map((label) =>
      el("li", {}, label, el("button", { type: "button", class: "plain", "aria-label": `Do not look for ${label}`,
        onclick: () => {
          state.classes = state.classes.filter((one) => one !== label);
          showClasses();
          byId("class").focus();
        } }, "✕"))));
    byId("classes").hidden = state.classes.length === 0;
  }
  function addClass() {
    const label = byId("class").value.trim();
    const known = state.models.find((one) => one.name === byId("model").value)?.labels;
    const odd = label && known && !known.includes(label);
    byId("class-hint").textContent = odd ? `${byId("model").value} has no class “${label}”.` : "";
    if (!label || odd) return;
    if (!state.classes.includes(label)) state.classes.push(label);
    byId("class").value = "";
    showClasses();
  }
  byId("class-add").addEventListener("click", addClass);
  byId("class").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addClass();
  });

  function showLabels() {
    const model = state.models.find((one) => one.name === byId("model").value);
    byId("labels").replaceChildren(...(model?.labels || []).map((label) => el("option", { value: label })));
    state.classes = state.classes.filter((label) => !model?.labels || model.labels.includes(label));
    showClasses();
  }
  byId("model").addEventListener("change", showLabels);

  /** Offers these models (as `GET /models` lists them) and keeps what was chosen. */
  function offer(models) {
    const served = models.filter((one) => one.versions.length > 0);
    if (JSON.stringify(served.map((one) => [one.name, one.version])) === JSON.stringify(state.models.map((one) => [one.name, one.version]))) return;
    const before = byId("model").value;
    state.models = served;
    byId("model").replaceChildren(...(served.length ? served.map((one) =>
      el("option", { value: one.name, selected: one.name === before || (!before && one.default) },
        `${one.name}${one.labels ? ` · ${counted(one.labels.length, "class", "classes")}` : ""}`)) : [el("option", { value: "" }, "the service’s own")]));
    showLabels();
  }

  // -- sending -------------------------------------------------------------------------------------------------------

  function chosen() {
    addClass(); // what was typed but not added
    const found = addresses(byId("urls").value);
    if (found.bad.length) throw new Problem({ title: "This is no address of a picture", detail: `${found.bad[0]} does not begin with http:// or https://.` });
    if (!state.files.length && !found.good.length) throw new Problem({ title: "No picture yet", detail: "Choose, drop or paste one, or type its address." });
    const options = { ...(!own && { threshold: Number(threshold.value) }), ...(state.classes.length && { classes: state.classes }) };
    return requests({ files: state.files, urls: found.good, model: byId("model").value, options, keyed: hasKey() });
  }

  async function send() {
    if (state.stop) return;
    state.stop = new AbortController();
    byId("send").disabled = true;
    byId("compose-notice").replaceChildren();
    try {
      for (const request of chosen()) {
        sent(await delivered(request, state.stop.signal), request);
        if (request.files.length) state.files = state.files.filter((file) => !request.files.includes(file));
        else byId("urls").value = "";
      }
      showFiles();
    } catch (error) {
      if (error.name !== "AbortError") byId("compose-notice").replaceChildren(notice(error));
    } finally {
      state.stop = null;
      byId("send").disabled = false;
    }
  }

  /** The job that the request made; repeated when the service says so, which makes no second one. */
  async function delivered(request, signal) {
    for (let tried = 1; ; tried += 1) {
      try {
        const { headers, body } = request;
        const job = await ask("submit", { headers, body, signal });
        byId("compose-notice").replaceChildren();
        return job;
      } catch (error) {
        if (!(error instanceof Problem) || error.again === null || tried === TRIES) throw error;
        await countdown(error, signal);
      }
    }
  }

  async function countdown(problem, signal) {
    const left = el("span", {});
    const stop = el("button", { type: "button", onclick: () => state.stop.abort() }, "Do not");
    byId("compose-notice").replaceChildren(notice(problem, el("p", { class: "row" }, left, stop)));
    try {
      for (let seconds = Math.max(1, problem.again); seconds > 0; seconds -= 1) {
        left.textContent = `Sent again in ${counted(seconds, "second")}.`;
        await pause(1, signal);
      }
      left.textContent = "Sending again …";
    } catch (error) {
      byId("compose-notice").replaceChildren();
      throw error;
    }
  }

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return { offer };
}
