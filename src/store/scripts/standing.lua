#!lua flags=no-writes
-- Purpose:   tells whether a record stands there, and for how long yet.
-- Guarantee: changes nothing, and reads no more of it than its id: it may be long.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- Returns:   {found, milliseconds left}, {absent} or {corrupt}

local id = redis.pcall('GETRANGE', key, 9, 40)
if type(id) == 'table' then return { 'corrupt' } end
if id == '' then return { 'absent' } end
if id ~= ARGV[1] then return { 'corrupt' } end
return { 'found', redis.call('PTTL', key) }
