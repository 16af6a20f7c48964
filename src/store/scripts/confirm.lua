-- Purpose:   writes a granted claim once more, unchanged, on the connection that then asks for replicas with WAIT.
-- Guarantee: done only where this very server holds the claim; what it says stays as it is.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- Returns:   {done}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local mine = record and record.state == 'in-flight' and record.token == ARGV[2]
if not mine then return { 'lost' } end
-- A write, so that WAIT counts the replicas that have the stream up to here, the claim before it included.
redis.call('PEXPIREAT', key, string.format('%.0f', record.expiresAtMs))
return { 'done' }
