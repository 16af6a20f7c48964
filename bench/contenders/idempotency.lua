-- The same job in nginx: reads the body, takes its SHA-256 (libcrypto, which nginx is linked with), claims the key by one
-- SET NX GET, sends the request by a subrequest, stores the answer, and answers retries from it. A key with another body
-- is refused with 409, so is a duplicate of a request in flight. What it does not do: leases and fences, unknown
-- outcomes, compare-and-set on completion, metrics; a claim that expires lets a retry execute again.
local ffi = require "ffi"
local redis = require "nginx.redis"

ffi.cdef "unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);"
local digest = ffi.new("unsigned char[32]")

local CLAIM_MS = 40000
local RECORD_MS = 24 * 3600 * 1000
local METHODS = {
  POST = ngx.HTTP_POST,
  PUT = ngx.HTTP_PUT,
  PATCH = ngx.HTTP_PATCH,
  DELETE = ngx.HTTP_DELETE,
}
-- Framing, the hop and the date of an answer are not stored.
local DROPPED = {
  ["connection"] = true,
  ["keep-alive"] = true,
  ["content-length"] = true,
  ["transfer-encoding"] = true,
  ["date"] = true,
}

local function sha256(text)
  ffi.C.SHA256(text, #text, digest)
  return ffi.string(digest, 32)
end

local function refuse(status, title)
  ngx.status = status
  ngx.header["Content-Type"] = "application/problem+json"
  ngx.print('{"title":"', title, '","status":', status, "}")
end

-- A record: "D", 32 bytes of fingerprint, status, then name and value lines, an empty line, the body.
local function encode(fingerprint, answer)
  local parts, n = { "D", fingerprint, answer.status, "\n" }, 4
  for name, value in pairs(answer.header) do
    if not DROPPED[name:lower()] then
      local values = type(value) == "table" and value or { value }
      for i = 1, #values do
        parts[n + 1], parts[n + 2], parts[n + 3], parts[n + 4] = name, "\n", values[i], "\n"
        n = n + 4
      end
    end
  end
  parts[n + 1], parts[n + 2] = "\n", answer.body
  return table.concat(parts)
end

local function replay(record)
  local at = record:find("\n", 34, true)
  ngx.status = tonumber(record:sub(34, at - 1))
  local fields = {}
  at = at + 1
  while record:byte(at) ~= 10 do
    local name_end = record:find("\n", at, true)
    local value_end = record:find("\n", name_end + 1, true)
    local name, value = record:sub(at, name_end - 1), record:sub(name_end + 1, value_end - 1)
    local seen = fields[name]
    if seen == nil then
      fields[name] = value
    elseif type(seen) == "table" then
      seen[#seen + 1] = value
    else
      fields[name] = { seen, value }
    end
    at = value_end + 1
  end
  for name, value in pairs(fields) do ngx.header[name] = value end
  ngx.header["Idempotent-Replayed"] = "true"
  ngx.header["Content-Length"] = #record - at
  ngx.print(record:sub(at + 1))
end

return function()
  ngx.req.read_body()
  local var = ngx.var
  local body = ngx.req.get_body_data() or ""
  local method = ngx.req.get_method()
  local fingerprint = sha256(
    method .. "\n" .. var.request_uri .. "\n" .. (var.content_type or "") .. "\n" .. body
  )
  local scope = (var.http_authorization or "") .. "\n" .. (var.http_x_api_key or "")
  local key = "guard:" .. sha256(scope .. "\n" .. var.http_idempotency_key)

  local store = redis:new()
  store:set_timeout(250)
  local connected = store:connect("127.0.0.1", tonumber(var.redis_port))
  if not connected then return refuse(503, "The store cannot be reached") end
  local found, fault = store:set(key, "P" .. fingerprint, "NX", "GET", "PX", CLAIM_MS)
  if not found then
    ngx.log(ngx.ERR, "claim: ", fault)
    return refuse(503, "The store cannot be reached")
  end
  store:set_keepalive(60000, 256)

  if found ~= ngx.null then
    if found:sub(2, 33) ~= fingerprint then
      return refuse(409, "The idempotency key belongs to another request")
    end
    if found:byte(1) == 80 then
      return refuse(409, "The first request with this key is still in flight")
    end
    return replay(found)
  end

  local answer = ngx.location.capture("/_upstream", { method = METHODS[method], always_forward_body = true })
  -- Whether these were executed nobody knows: the claim stays until it expires.
  local known = not answer.truncated and answer.status ~= 502 and answer.status ~= 504
  if known then
    store = redis:new()
    store:set_timeout(250)
    connected = store:connect("127.0.0.1", tonumber(var.redis_port))
    local stored = connected and store:set(key, encode(fingerprint, answer), "PX", RECORD_MS)
    if stored then
      store:set_keepalive(60000, 256)
    else
      ngx.log(ngx.ERR, "an answer could not be stored")
    end
  end
  ngx.status = answer.status
  for name, value in pairs(answer.header) do
    if not DROPPED[name:lower()] then ngx.header[name] = value end
  end
  ngx.header["Content-Length"] = #answer.body
  ngx.print(answer.body)
end
