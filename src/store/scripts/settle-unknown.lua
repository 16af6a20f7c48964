-- Purpose:   a probe or an operator has found out what became of an unknown outcome.
-- Guarantee: only the attempt that was asked about is settled, and only while it is unknown; a full server refuses an answer.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token of the attempt that was asked about, 16 bytes
-- ARGV[3]:   executed or not-executed
-- ARGV[4]:   with executed: the token that stands where the owner's was, 16 bytes
-- ARGV[5]:   with executed: retention in milliseconds
-- ARGV[6]:   with executed: answer, see codec.ts
-- ARGV[7]:   with executed: body
-- ARGV[8]:   with executed: probe or operator
-- Returns:   {done}, {lost} or {corrupt}

local record, corrupt = read(ARGV[1])
if corrupt then return { 'corrupt' } end
local now = clock()
-- DANGER: another attempt may be unknown by now, of which nobody has said anything.
if state_of(record, now) ~= 'unknown' or record.token ~= ARGV[2] then return { 'lost' } end
if ARGV[3] == 'not-executed' then
  redis.call('DEL', key)
else
  record.state, record.reason, record.token, record.answeredBy = 'completed', '', ARGV[4], ARGV[8]
  record.changedAtMs, record.expiresAtMs = now, now + tonumber(ARGV[5])
  put(record, ARGV[6], ARGV[7])
end
settled()
return { 'done' }
