-- Purpose:   takes a record off the roll of its scope, because none stands there.
-- Guarantee: an entry that was made again since, and whose claim may be on its way, stays.
-- KEYS[1]:   the roll, see enter-roll.lua
-- ARGV[1]:   scope and record id, 32 bytes each
-- ARGV[2]:   mark of the entry
-- Returns:   {done}, {kept} or {corrupt}

local id = ARGV[1]:sub(33)
local claiming = redis.pcall('ZSCORE', key, 'c' .. id)
if type(claiming) == 'table' then return { 'corrupt' } end
local untilMs = claiming and -tonumber(claiming)
if untilMs and untilMs > clock() and untilMs ~= tonumber(ARGV[2]) then return { 'kept' } end
redis.call('ZREM', key, id, 'c' .. id)
return { 'done' }
