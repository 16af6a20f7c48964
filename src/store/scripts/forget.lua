#!lua flags=allow-oom
-- Purpose:   an operator forgets a record.
-- Guarantee: refuses what is in flight, because forgetting a live claim lets the request run a second time.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- Returns:   {done}, {absent}, {in-flight} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local state = state_of(record, clock())
if not state then return { 'absent' } end
if state == 'in-flight' then return { 'in-flight' } end
redis.call('DEL', key)
settled()
return { 'done' }
