-- wrk: one POST over and over, every answer checked. wrk ... -s post.lua URL -- FILE CONTENT-TYPE PREFER STATUS TEXT
-- An answer is wrong unless it has the status STATUS and holds TEXT. PREFER may be empty. The last line of the output
-- is one JSON object; latencies in milliseconds.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], 'rb'))
  wrk.method, wrk.body = 'POST', file:read('*a')
  file:close()
  wrk.headers['Content-Type'] = args[2]
  if args[3] ~= '' then wrk.headers['Prefer'] = args[3] end
  want_status, want_text = tonumber(args[4]), args[5]
  wrong, first_wrong = 0, ''
  local prepared = wrk.format()
  request = function() return prepared end
end

function response(status, headers, body)
  if status ~= want_status or not string.find(body, want_text, 1, true) then
    wrong = wrong + 1
    if first_wrong == '' then first_wrong = status .. ' ' .. string.sub(body, 1, 200) end
  end
end

local function quoted(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(c) return string.format('\\u%04x', string.byte(c)) end) .. '"'
end

function done(summary, latency, requests)
  local bad, example = 0, ''
  for _, thread in ipairs(threads) do
    bad = bad + thread:get('wrong')
    if example == '' then example = thread:get('first_wrong') end
  end
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "wrong": %d, "lost": %d, "example": %s, "p50_ms": %.3f, "p90_ms": %.3f, ' ..
    '"p99_ms": %.3f, "p999_ms": %.3f, "max_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, bad, errors.connect + errors.read + errors.write + errors.timeout,
    quoted(example), latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3))
end
