-- Purpose:   writes or removes what is remembered of a resource, by compare-and-set on its revision.
-- Guarantee: of any number of writes that present one revision, one is done; a full server refuses a write whole.
-- KEYS[1]:   the cell: version(1) id(32) revision(8) expiresAtMs(8) value-seal(16) seal(16) value, see cell.ts
-- ARGV[1]:   resource id, 32 bytes
-- ARGV[2]:   put or remove
-- ARGV[3]:   the revision that was read, 0 where there was none
-- ARGV[4]:   retention in milliseconds
-- ARGV[5]:   the value's seal, 16 bytes
-- ARGV[6]:   value, empty where it is removed
-- Returns:   {done}, {lost} or {corrupt}

-- A cell's own, see cell.ts.
local CELL_VERSION = '\2'

local id, revision = ARGV[1], tonumber(ARGV[3])
local now, standing = clock(), 0
local stored = redis.pcall('GET', key)
if type(stored) == 'table' then return { 'corrupt' } end
if stored then
  if #stored < 81 or stored:sub(1, 1) ~= CELL_VERSION or stored:sub(2, 33) ~= id then return { 'corrupt' } end
  if stored:sub(66, 81) ~= seal_of(stored:sub(1, 65)) then return { 'corrupt' } end
  local storedRevision, expiresAtMs = struct.unpack('>I8I8', stored, 34)
  if not whole(storedRevision, 1) or not whole(expiresAtMs, 0) then return { 'corrupt' } end
  if expiresAtMs > now then standing = storedRevision end
end
if standing ~= revision then return { 'lost' } end

if ARGV[2] == 'remove' then
  redis.call('DEL', key)
else
  local expiresAtMs = math.ceil(now + tonumber(ARGV[4]))
  local sealed = CELL_VERSION .. id .. struct.pack('>I8I8', revision + 1, expiresAtMs) .. ARGV[5]
  redis.call('SET', key, sealed .. seal_of(sealed) .. ARGV[6], 'PXAT', string.format('%.0f', expiresAtMs))
end
return { 'done' }
