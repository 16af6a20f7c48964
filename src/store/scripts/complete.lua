-- Purpose:   records the owner's answer with its body.
-- Guarantee: only the token that the record carries may write; what is completed stays; a full server refuses it whole.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- ARGV[3]:   retention in milliseconds
-- ARGV[4]:   answer, see codec.ts
-- ARGV[5]:   body
-- Returns:   {done, expiresAtMs}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
return complete(record, ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5])
