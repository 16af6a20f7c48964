#!lua flags=allow-oom
-- Purpose:   gives a claim back whose request provably never ran: forgets a first one, leaves a resend's outcome unknown.
-- Guarantee: only the owner may, and only from in flight; after its lease too, because only it can know.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- Returns:   {done}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
-- The stored state counts here, not the one as of now.
local now = clock()
local mine = record and record.state == 'in-flight' and record.token == ARGV[2] and record.expiresAtMs > now
if not mine then return { 'lost' } end
if record.fence == 1 then
  redis.call('DEL', key)
else
  -- DANGER: a resend knows of its own request only. Forgetting the record would forget the earlier send, and the next
  -- fence would be 1 again.
  record.state, record.reason, record.changedAtMs = 'unknown', 'crash', now
  put(record)
end
settled()
return { 'done' }
