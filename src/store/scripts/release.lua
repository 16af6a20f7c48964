#!lua flags=allow-oom
-- Purpose:   forgets a claim whose request provably never ran.
-- Guarantee: only the owner may, and only from in flight; after its lease too, because only it can know.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- Returns:   {done}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
-- The stored state counts here, not the one as of now.
local mine = record and record.state == 'in-flight' and record.token == ARGV[2] and record.expiresAtMs > clock()
if not mine then return { 'lost' } end
redis.call('DEL', key)
settled()
return { 'done' }
