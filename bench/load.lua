-- What wrk sends, by `mode`:
--   unique   POST with a key that was never used
--   cycle    POST with the keys prefix-0 .. prefix-(count-1) in turn, from `first` on
--   one      POST with the same key each time
--   get      GET
--   mixed    nine GETs, then a POST with a key that was never used
-- Prints one line of JSON at the end. Has no `response`, so that wrk does not parse what it need not.
local threads = 0

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

local mode, prefix, count, first
local before, after, get
local n = 0

function init(args)
  mode, prefix = args[1], args[2]
  local bytes = tonumber(args[3])
  count, first = tonumber(args[4]), tonumber(args[5])
  local path = args[6]
  local host = "Host: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
  local open, close = '{"amount":4200,"currency":"eur","note":"', '"}'
  local body = open .. ("x"):rep(bytes - #open - #close) .. close
  before = "POST " .. path .. " HTTP/1.1\r\n" .. host .. "Content-Type: application/json\r\nIdempotency-Key: "
  after = "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  get = "GET " .. path .. " HTTP/1.1\r\n" .. host .. "\r\n"
end

function request()
  n = n + 1
  if mode == "get" or (mode == "mixed" and n % 10 ~= 0) then return get end
  if mode == "one" then return before .. prefix .. after end
  if mode == "cycle" then return before .. prefix .. "-" .. ((first + n) % count) .. after end
  return before .. prefix .. "-" .. thread_number .. "-" .. n .. after
end

function done(summary, latency, _)
  local faults = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"notSuccessful":%d,"broken":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, faults.status,
    faults.connect + faults.read + faults.write + faults.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
