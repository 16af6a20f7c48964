-- Purpose:   enters a record on the roll of its scope, which says how many live records a caller has.
-- Guarantee: never more entries than permitted, unless they are entered always; an entry ends by itself.
-- KEYS[1]:   the roll, a sorted set: a record id scores when its entry ends, 'c' and a record id less than 0: as many
--            milliseconds as its claim may be on its way until
-- ARGV[1]:   scope and record id, 32 bytes each
-- ARGV[2]:   look (what is listed is not written), renew, or always (even where the roll is full)
-- ARGV[3]:   how many it may have
-- ARGV[4]:   how long the record can stand, in milliseconds
-- ARGV[5]:   how long its claim may be on its way, in milliseconds
-- ARGV[6]:   record ids, one behind the other, that had no record
-- ARGV[7]:   until when that may be acted upon
-- ARGV[8]:   rises with each full roll that is looked at, so that in the end every entry is
-- Returns:   {listed}, {entered, mark}, {full, ids to look at, now} or {corrupt}

local id, how, most = ARGV[1]:sub(33), ARGV[2], tonumber(ARGV[3])
local now, LOOKED_AT = clock(), 8
local function ms(number) return string.format('%.0f', number) end

local listed = redis.pcall('ZSCORE', key, id)
if type(listed) == 'table' then return { 'corrupt' } end
listed = listed and tonumber(listed) > now and tonumber(listed)
if listed and how == 'look' then return { 'listed' } end

if now < tonumber(ARGV[7]) then
  for at = 1, #ARGV[6], 32 do
    local gone = ARGV[6]:sub(at, at + 31)
    local claiming = redis.call('ZSCORE', key, 'c' .. gone)
    if not claiming or -tonumber(claiming) <= now then redis.call('ZREM', key, gone, 'c' .. gone) end
  end
end

if not listed and how ~= 'always' then
  local count = redis.call('ZCOUNT', key, '(' .. ms(now), '+inf')
  if count >= most then
    local ids, seen = {}, {}
    local others = math.max(1, count - LOOKED_AT)
    -- By rank: by score and LIMIT a server walks over all that is skipped, and may have a million to skip.
    local first = redis.call('ZCOUNT', key, '-inf', ms(now))
    for _, from in ipairs({ first, first + LOOKED_AT + tonumber(ARGV[8]) * LOOKED_AT % others }) do
      for _, each in ipairs(redis.call('ZRANGE', key, from, from + LOOKED_AT - 1)) do
        if not seen[each] then ids[#ids + 1] = each end
        seen[each] = true
      end
    end
    return { 'full', table.concat(ids), now }
  end
end

-- The first write where nothing was gone, so that a server without room refuses it.
local mark = now + tonumber(ARGV[5])
redis.call('ZADD', key, ms(math.max(listed or 0, now + tonumber(ARGV[4]))), id, ms(-mark), 'c' .. id)
-- What is over: ends and, below 0, the claims on their way.
redis.call('ZREMRANGEBYSCORE', key, ms(-now), ms(now))
redis.call('PEXPIREAT', key, ms(math.max(mark, tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]))))
return { 'entered', mark }
