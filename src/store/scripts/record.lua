-- The prelude that the loader puts in front of every script: the bytes of a record, read and written.
-- The layout is codec.ts's:
--   version(1) fields-length(4) answer-length(4) id(32) fingerprint(32) token(16) msgpack-fields [answer] seal(16) [body]
-- An answer and its body are never parsed or digested here: the gateway seals the body, and the answer carries that seal.

local key = KEYS[1]
local VERSION, FIELDS_AT, SEAL_BYTES = '\3', 89, 16
-- How many fields each version that is read has: 2 ended with the reason.
local FIELDS_IN = { ['\2'] = 9, [VERSION] = 12 }

-- As seal.ts: the first 16 bytes of the SHA-1.
local function seal_of(sealed)
  local hex = redis.sha1hex(sealed)
  local function word(at) return tonumber(hex:sub(at, at + 7), 16) end
  return struct.pack('>I4I4I4I4', word(1), word(9), word(17), word(25))
end

-- Whole milliseconds on the server's clock, the only clock that judges leases and retention.
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(value, least)
  return type(value) == 'number' and value >= least and value <= 9007199254740991 and value % 1 == 0
end

local STATES = { ['in-flight'] = true, completed = true, unknown = true }
local REASONS = { timeout = true, reset = true, truncated = true, crash = true }
local ANSWERED_BY = { [''] = true, upstream = true, probe = true, operator = true }

-- The record, nil where there is none, or nil and true where the value is not a record of this id.
local function read(id)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then return nil, true end
  if not value then return nil end
  local count = FIELDS_IN[value:sub(1, 1)]
  if #value <= FIELDS_AT or not count or value:sub(10, 41) ~= id then return nil, true end
  local fieldsLength, answerLength = struct.unpack('>I4I4', value, 2)
  local sealAt = FIELDS_AT + fieldsLength + answerLength
  if value:sub(sealAt + 1, sealAt + SEAL_BYTES) ~= seal_of(value:sub(1, sealAt)) then return nil, true end
  -- No seal covers a body that no answer tells of.
  if answerLength == 0 and #value > sealAt + SEAL_BYTES then return nil, true end
  local readable, fields, more = pcall(cmsgpack.unpack, value:sub(FIELDS_AT + 1, FIELDS_AT + fieldsLength))
  if not readable or more ~= nil or type(fields) ~= 'table' or #fields ~= count then return nil, true end
  local record = {
    value = value,
    bodyAt = sealAt + SEAL_BYTES,
    id = id,
    fingerprint = value:sub(42, 73),
    token = value:sub(74, 89),
    state = fields[1],
    fence = fields[2],
    createdAtMs = fields[3],
    expiresAtMs = fields[4],
    changedAtMs = fields[5],
    method = fields[6],
    target = fields[7],
    route = fields[8],
    reason = fields[9],
    claimedBy = '',
    shadow = false,
    answeredBy = '',
  }
  if count > 9 then record.claimedBy, record.shadow, record.answeredBy = fields[10], fields[11], fields[12] end
  local sound = STATES[record.state] and whole(record.fence, 1) and whole(record.createdAtMs, 0)
    and whole(record.expiresAtMs, 0) and whole(record.changedAtMs, 0) and type(record.method) == 'string'
    and type(record.target) == 'string' and type(record.route) == 'string' and type(record.reason) == 'string'
    and type(record.claimedBy) == 'string' and type(record.shadow) == 'boolean' and ANSWERED_BY[record.answeredBy]
    and (record.state ~= 'unknown' or REASONS[record.reason])
  if not sound then return nil, true end
  return record
end

-- The state as of now: nil once the record's time is over, unknown once an in-flight lease is over.
local function state_of(record, now)
  if not record or record.expiresAtMs <= now then return nil end
  if record.state == 'in-flight' and record.changedAtMs <= now then return 'unknown' end
  return record.state
end

-- The value without the body.
local function summary(record)
  return record.value:sub(1, record.bodyAt)
end

-- Writes the record, sealed, with the answer and the body where there are any, to be forgotten at its own expiresAtMs.
local function put(record, answer, body)
  answer = answer or ''
  local fields = cmsgpack.pack({
    record.state, record.fence, record.createdAtMs, record.expiresAtMs, record.changedAtMs,
    record.method, record.target, record.route, record.reason, record.claimedBy, record.shadow, record.answeredBy,
  })
  local lengths = struct.pack('>I4I4', #fields, #answer)
  local sealed = VERSION .. lengths .. record.id .. record.fingerprint .. record.token .. fields .. answer
  local value = sealed .. seal_of(sealed) .. (body or '')
  redis.call('SET', key, value, 'PXAT', string.format('%.0f', record.expiresAtMs))
end

-- Wakes who waits for this record. A hint only, so that a user without the channel right loses speed and nothing else.
local function settled()
  redis.pcall('PUBLISH', key .. ':settled', '')
end

-- The shared end of both completions; `complete` and `complete-bare` differ in their right to write when memory is full.
local function complete(record, token, retentionMs, answer, body)
  local now = clock()
  local state = state_of(record, now)
  if not state or record.token ~= token then return { 'lost' } end
  if state == 'completed' then return { 'done', record.expiresAtMs } end
  record.state, record.reason, record.answeredBy = 'completed', '', 'upstream'
  record.changedAtMs, record.expiresAtMs = now, now + retentionMs
  put(record, answer, body)
  settled()
  return { 'done', record.expiresAtMs }
end
