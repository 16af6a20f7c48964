#!lua flags=allow-oom
-- Purpose:   records the owner's answer without a body.
-- Guarantee: as complete.lua, and it is written even where memory is full: it is no larger than a claim.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- ARGV[3]:   retention in milliseconds
-- ARGV[4]:   answer, see codec.ts
-- Returns:   {done, expiresAtMs}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
return complete(record, ARGV[2], tonumber(ARGV[3]), ARGV[4])
