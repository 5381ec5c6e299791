// The HTTP interface as the page uses it. In: the name of a call and its values. Out: JSON, events, files, or a Problem.
// Knows nothing of what is shown. Every path that the page asks for is in CALLS (a test holds it to the document).

export const CALLS = {
  discover: "GET /",
  ready: "GET /readyz",
  models: "GET /models",
  submit: "POST /jobs",
  list: "GET /jobs",
  look: "GET /jobs/{job}",
  events: "GET /jobs/{job}/events",
  results: "GET /jobs/{job}/results",
  picture: "GET /jobs/{job}/pictures/{index}",
  export: "GET /jobs/{job}/export",
  cancel: "POST /jobs/{job}/cancel",
  retry: "POST /jobs/{job}/retry",
  remove: "DELETE /jobs/{job}",
};
export const ENDED = new Set(["succeeded", "failed", "canceled", "expired"]);
export const ROOT = new URL("..", import.meta.url); // below a path of a proxy's, too
const KEPT_AS = "spotter-key";
const ANSWER_S = 30;
const UPLOAD_S = 600;
const SILENT_S = 45; // a stream has a comment each 15 s
const AGAIN_S = 2;
const LONGEST_WAIT_S = 300;

/** Why a call has no answer: the service's own words (RFC 9457). `again`: seconds until it makes sense to repeat it. */
export class Problem extends Error {
  constructor(body, again = null) {
    super(body.title);
    this.status = body.status || 0;
    this.code = body.code || "";
    this.title = body.title || "The request failed";
    this.detail = body.detail || body.reason || ""; // the second: /readyz
    this.fields = Array.isArray(body.errors) ? body.errors : [];
    this.requestId = body.request_id || "";
    this.again = again;
  }
}

const silent = () => new Problem({ title: "The service does not answer", detail: "It may be starting, or the network is away." }, AGAIN_S);

// -- the key: in this tab alone --------------------------------------------------------------------------------------

let key = "";
try {
  key = sessionStorage.getItem(KEPT_AS) || "";
} catch {
  // storage is switched off: the key lives as long as the page
}

export const hasKey = () => key !== "";

export function useKey(given) {
  key = given.trim();
  try {
    if (key) sessionStorage.setItem(KEPT_AS, key);
    else sessionStorage.removeItem(KEPT_AS);
  } catch {
    // as above
  }
}

/** Told of each 401, with the problem as `detail`. */
export const door = new EventTarget();

// -- calls -----------------------------------------------------------------------------------------------------------

/** Where a call goes, as text: `address("look", {job})`. */
export function address(name, values = {}, query = {}) {
  const path = CALLS[name].split(" ")[1].replace(/\{(\w+)\}/g, (_, field) => encodeURIComponent(values[field]));
  const url = new URL(path.slice(1), ROOT);
  for (const [field, value] of Object.entries(query)) if (value !== "" && value != null) url.searchParams.set(field, value);
  return url;
}

/** The answer of a call, if it is a good one. Throws Problem, or AbortError where `signal` said so. */
export async function call(name, { values, query, headers = {}, body, signal, limitS } = {}) {
  const method = CALLS[name].split(" ")[0];
  const signals = signal ? [signal] : [];
  if (limitS !== Infinity) signals.push(AbortSignal.timeout(1000 * (limitS || (body ? UPLOAD_S : ANSWER_S))));
  const sent = { Accept: "application/json", ...headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(address(name, values, query), {
      method, headers: sent, body, credentials: "omit", cache: "no-store", signal: AbortSignal.any(signals),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw silent();
  }
  if (answer.ok) return answer;
  throw await refused(answer);
}

async function refused(answer) {
  const later = Number.parseInt(answer.headers.get("Retry-After"), 10);
  let body;
  try {
    body = await answer.json();
  } catch {
    body = {}; // of something between us and the service
  }
  if (typeof body !== "object" || !body) body = {};
  const passing = answer.status === 429 || answer.status >= 502;
  const again = Number.isFinite(later) ? later : passing ? AGAIN_S : null;
  const problem = new Problem({ title: `The answer was ${answer.status} ${answer.statusText}`.trim(), ...body, status: answer.status }, again);
  if (answer.status === 401) door.dispatchEvent(new CustomEvent("closed", { detail: problem }));
  return problem;
}

/** The JSON that a call answers. */
export async function ask(name, options = {}) {
  const answer = await call(name, options);
  try {
    return await answer.json();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw silent();
  }
}

/** A file, and the name that the service gives it. */
export async function file(name, options = {}) {
  const answer = await call(name, { headers: { Accept: "*/*" }, limitS: UPLOAD_S, ...options });
  const named = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "");
  try {
    return { blob: await answer.blob(), name: named ? named[1] : null };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw silent();
  }
}

/** Resolves after so many seconds, at most five minutes; rejects when `signal` says so. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const ended = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", ended);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(ended, 1000 * Math.min(seconds, LONGEST_WAIT_S));
    signal?.addEventListener("abort", ended);
    if (signal?.aborted) ended();
  });
}

// -- events: read with fetch, for an EventSource cannot send a key ---------------------------------------------------

/** What happens to a job, `{name, data}` each, to its end; goes on by itself where a connection broke. */
export async function* events(job, signal) {
  let last = "";
  for (;;) {
    let wait = AGAIN_S;
    try {
      const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
      const answer = await call("events", { values: { job }, headers, signal, limitS: Infinity });
      if (answer.status === 204) return;
      for await (const event of frames(answer.body, signal)) {
        if (event.id) last = event.id;
        yield { name: event.name, data: JSON.parse(event.data) };
        if (ENDED.has(event.name)) return;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Problem) {
        if (error.again === null) throw error;
        wait = error.again;
      } // anything else: the stream broke off
    }
    await pause(wait, signal);
  }
}

async function* frames(stream, signal) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  const stop = () => reader.cancel().catch(() => {}); // it may have ended already; a read that waits then has the end
  let rest = "";
  let event = { name: "message", id: "", data: [] };
  let watch = setTimeout(stop, 1000 * SILENT_S);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      clearTimeout(watch);
      signal.throwIfAborted();
      if (done) return;
      watch = setTimeout(stop, 1000 * SILENT_S);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { ...event, data: event.data.join("\n") };
          event = { name: "message", id: event.id, data: [] };
        } else if (line.startsWith("event: ")) event.name = line.slice(7);
        else if (line.startsWith("id: ")) event.id = line.slice(4);
        else if (line.startsWith("data: ")) event.data.push(line.slice(6));
      }
    }
  } finally {
    clearTimeout(watch);
    stop();
  }
}
