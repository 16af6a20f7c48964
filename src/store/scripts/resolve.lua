#!lua flags=allow-oom
-- Purpose:   an operator says what became of an unknown outcome.
-- Guarantee: only unknown outcomes are resolved; the owner's late completion is lost afterwards.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   executed or not-executed
-- ARGV[3]:   retention in milliseconds of an outcome resolved as executed
-- ARGV[4]:   the token that stands where the owner's was, 16 bytes
-- ARGV[5]:   token of the attempt that it is about, 16 bytes; empty: whichever is unknown
-- Returns:   {done}, {absent}, {not-unknown}, {overtaken} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local now = clock()
local state = state_of(record, now)
if not state then return { 'absent' } end
if state ~= 'unknown' then return { 'not-unknown' } end
-- DANGER: another attempt may be unknown by now, of which the operator knows nothing.
if ARGV[5] ~= '' and record.token ~= ARGV[5] then return { 'overtaken' } end
if ARGV[2] == 'not-executed' then
  redis.call('DEL', key)
else
  record.state, record.reason, record.token, record.answeredBy = 'completed', '', ARGV[4], 'operator'
  record.changedAtMs, record.expiresAtMs = now, now + tonumber(ARGV[3])
  put(record)
end
settled()
return { 'done' }
