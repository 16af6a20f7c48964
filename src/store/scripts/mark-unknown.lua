#!lua flags=allow-oom
-- Purpose:   the owner says that nobody can know whether the upstream executed.
-- Guarantee: only the owner may; a completion is never overwritten; the first reason stays.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- ARGV[3]:   reason
-- ARGV[4]:   retention in milliseconds
-- Returns:   {done}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local now = clock()
local mine = record and record.token == ARGV[2] and record.expiresAtMs > now
if not mine or record.state == 'completed' then return { 'lost' } end
if record.state == 'in-flight' then
  record.state, record.reason = 'unknown', ARGV[3]
  record.changedAtMs, record.expiresAtMs = now, now + tonumber(ARGV[4])
  put(record)
  settled()
end
return { 'done' }
