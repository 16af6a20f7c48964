#!lua flags=allow-oom
-- Purpose:   an operator forgets a record.
-- Guarantee: refuses what is in flight, because forgetting a live claim lets the request run a second time.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token of the attempt that it is about, 16 bytes; empty: whichever stands
-- Returns:   {done}, {absent}, {in-flight}, {overtaken} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local state = state_of(record, clock())
if not state then return { 'absent' } end
if state == 'in-flight' then return { 'in-flight' } end
-- DANGER: it may be another request's record by now, of which the operator knows nothing.
if ARGV[2] ~= '' and record.token ~= ARGV[2] then return { 'overtaken' } end
redis.call('DEL', key)
settled()
return { 'done' }
