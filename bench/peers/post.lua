-- For wrk: posts one file again and again, counts the answers that are not right, prints one JSON line at the end.
-- Right is status 200 with the word of the second argument in the body. Arguments: file, word.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = "image/jpeg"
  wrk.headers["Prefer"] = "wait=30" -- Spotter's; nobody else reads it
  word = '"' .. args[2] .. '"'
  right, wrong = 0, 0
end

function response(status, headers, body)
  if status == 200 and string.find(body, word, 1, true) then
    right = right + 1
  else
    wrong = wrong + 1
  end
end

function done(summary, latency, requests)
  local right, wrong = 0, 0
  for _, thread in ipairs(threads) do
    right = right + thread:get("right")
    wrong = wrong + thread:get("wrong")
  end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"right": %d, "wrong": %d, "lost": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    right, wrong, lost, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
