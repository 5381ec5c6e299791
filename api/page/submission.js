// What was chosen -> the requests that send it, and the commands that send the same. Knows neither page nor network.

import { address } from "./service.js";

const ADDRESS = /^https?:\/\/\S+$/i;

/** The lines of a text that are addresses of pictures, and those that are none. */
export function addresses(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return { good: lines.filter((line) => ADDRESS.test(line)), bad: lines.filter((line) => !ADDRESS.test(line)) };
}

/** One request for the files and one for the addresses: `{headers, body, curl, files}` each, one job each. */
export function requests({ files, urls, model, options, keyed }) {
  const made = [];
  if (files.length) made.push(form(files, model, options, keyed));
  if (urls.length) made.push(json(urls, model, options, keyed));
  return made.map((one) => ({ ...one, headers: { ...one.headers, "Idempotency-Key": name() } }));
}

function form(files, model, options, keyed) {
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name);
  const lines = files.map((file) => `-F ${quoted(`file=@${path(file.name)}`)}`);
  const fields = { model, ...(Object.keys(options).length && { options: JSON.stringify(options) }) };
  for (const [field, value] of Object.entries(fields)) {
    if (!value) continue;
    body.append(field, value);
    lines.push(`--form-string ${quoted(`${field}=${value}`)}`);
  }
  return { headers: {}, body, curl: command(lines, keyed), files };
}

function json(urls, model, options, keyed) {
  const pictures = urls.length === 1 ? { image: { url: urls[0] } } : { images: urls.map((url) => ({ url, id: url.slice(-200) })) };
  // Pictures by address are not kept; the annotated ones are, and the page shows those.
  const body = JSON.stringify({ ...pictures, ...(model && { model }), options: { ...options, draw: true } });
  const headers = { "Content-Type": "application/json" };
  return { headers, body, curl: command([`--json ${quoted(body)}`], keyed), files: [] };
}

/** The command that sends a job; `$SPOTTER_KEY` stands for the key. */
function command(lines, keyed) {
  const key = keyed ? [`-H "Authorization: Bearer $SPOTTER_KEY"`] : [];
  return [`curl -s ${quoted(address("submit").href)} -H 'Prefer: wait=30'`, ...key, ...lines].join(" \\\n  ");
}

/** The command that looks at a job. */
export const lookCommand = (job, keyed) =>
  `curl -s ${quoted(address("look", { job }).href)}${keyed ? ` \\\n  -H "Authorization: Bearer $SPOTTER_KEY"` : ""}`;

/** For a POSIX shell. */
export const quoted = (text) => (/^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A file name as curl's `-F` reads it: in quotes where it has what divides fields. */
const path = (file) => (/[",;\\]/.test(file) ? `"${file.replace(/["\\]/g, "\\$&")}"` : file);

/** An Idempotency-Key: a request that is sent again makes no second job. */
const name = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
