#!lua flags=allow-oom
-- Purpose:   an operator says what became of an unknown outcome.
-- Guarantee: only unknown outcomes are resolved; the owner's late completion is lost afterwards.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   executed or not-executed
-- ARGV[3]:   retention in milliseconds of an outcome resolved as executed
-- ARGV[4]:   the token that stands where the owner's was, 16 bytes
-- Returns:   {done}, {absent}, {not-unknown} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local now = clock()
local state = state_of(record, now)
if not state then return { 'absent' } end
if state ~= 'unknown' then return { 'not-unknown' } end
if ARGV[2] == 'not-executed' then
  redis.call('DEL', key)
else
  record.state, record.reason, record.token = 'completed', '', ARGV[4]
  record.changedAtMs, record.expiresAtMs = now, now + tonumber(ARGV[3])
  put(record)
end
settled()
return { 'done' }
