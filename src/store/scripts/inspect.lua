#!lua flags=no-writes
-- Purpose:   reads a record, whole or without its body.
-- Guarantee: changes nothing; the clock that comes with it is the one that judges it.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   whole or summary
-- Returns:   {found, value, now}, {absent} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
if not record then return { 'absent' } end
return { 'found', ARGV[2] == 'whole' and record.value or summary(record), clock() }
