#!lua flags=no-writes
-- Purpose:   reads what is remembered of a resource.
-- Guarantee: changes nothing; the clock that comes with it is the one that judges it.
-- KEYS[1]:   the cell; its layout is cell.ts's, and it is taken apart there
-- ARGV[1]:   resource id, 32 bytes
-- Returns:   {found, now, value}, {absent, now} or {corrupt}

local value = redis.pcall('GET', key)
if type(value) == 'table' then return { 'corrupt' } end
if not value then return { 'absent', clock() } end
-- The id stands behind the version; what stands there for another resource must not leave the server.
if value:sub(2, 33) ~= ARGV[1] then return { 'corrupt' } end
return { 'found', clock(), value }
