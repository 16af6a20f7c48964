-- The prelude that the loader puts in front of every script: the bytes of a record, read and written.
-- The layout is codec.ts's: version(1) id(32) fingerprint(32) token(16) msgpack-fields [response-head body].
-- A response head and its body are never parsed here; they travel as the bytes behind the head (`tail`).

local key = KEYS[1]
local VERSION, FIELDS_AT = '\1', 81

-- Whole milliseconds on the server's clock, the only clock that judges leases and retention.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(value, least)
  return type(value) == 'number' and value >= least and value <= 9007199254740991 and value % 1 == 0
end

local STATES = { ['in-flight'] = true, completed = true, unknown = true }

-- The record, nil where there is none, or nil and true where the value is not a record of this id.
local function read(id)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then return nil, true end
  if not value then return nil end
  if #value <= FIELDS_AT or value:sub(1, 1) ~= VERSION or value:sub(2, 33) ~= id then return nil, true end
  local readable, stop, fields = pcall(cmsgpack.unpack_one, value, FIELDS_AT)
  if not readable or type(fields) ~= 'table' or #fields ~= 9 then return nil, true end
  local record = {
    value = value,
    id = id,
    fingerprint = value:sub(34, 65),
    token = value:sub(66, 81),
    state = fields[1],
    fence = fields[2],
    createdAtMs = fields[3],
    expiresAtMs = fields[4],
    changedAtMs = fields[5],
    method = fields[6],
    target = fields[7],
    route = fields[8],
    reason = fields[9],
    tailAt = stop,
  }
  local sound = STATES[record.state] and whole(record.fence, 1) and whole(record.createdAtMs, 0)
    and whole(record.expiresAtMs, 0) and whole(record.changedAtMs, 0) and type(record.method) == 'string'
    and type(record.target) == 'string' and type(record.route) == 'string' and type(record.reason) == 'string'
  if not sound then return nil, true end
  return record
end

-- The state as of now: nil once the record's time is over, unknown once an in-flight lease is over.
local function state_of(record, now)
  if not record or record.expiresAtMs <= now then return nil end
  if record.state == 'in-flight' and record.changedAtMs <= now then return 'unknown' end
  return record.state
end

-- The value without the body: head and response head.
local function summary(record)
  if record.tailAt < 0 then return record.value end
  local readable, stop = pcall(cmsgpack.unpack_one, record.value, record.tailAt)
  if not readable or stop < 0 then return record.value end
  return record.value:sub(1, stop)
end

-- Writes the record with `tail` behind its head, to be forgotten at its own expiresAtMs.
local function put(record, tail)
  local fields = cmsgpack.pack({
    record.state, record.fence, record.createdAtMs, record.expiresAtMs, record.changedAtMs,
    record.method, record.target, record.route, record.reason,
  })
  local value = VERSION .. record.id .. record.fingerprint .. record.token .. fields .. (tail or '')
  redis.call('SET', key, value, 'PXAT', string.format('%.0f', record.expiresAtMs))
end

-- Wakes who waits for this record. A hint only, so that a user without the channel right loses speed and nothing else.
local function settled()
  redis.pcall('PUBLISH', key .. ':settled', '')
end

-- The shared end of both completions; `complete` and `complete-bare` differ in their right to write when memory is full.
local function complete(record, token, retentionMs, response)
  local now = clock()
  local state = state_of(record, now)
  if not state or record.token ~= token then return { 'lost' } end
  if state == 'completed' then return { 'done', record.expiresAtMs } end
  record.state, record.reason = 'completed', ''
  record.changedAtMs, record.expiresAtMs = now, now + retentionMs
  put(record, response)
  settled()
  return { 'done', record.expiresAtMs }
end
