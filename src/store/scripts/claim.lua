-- Purpose:   takes an absent key for a request, or says what stands there.
-- Guarantee: of any number of claims one is granted; mismatch is decided before everything else.
-- KEYS[1]:   the record
-- ARGV[1]:   record id, 32 bytes
-- ARGV[2]:   token, 16 bytes
-- ARGV[3]:   fingerprint, 32 bytes
-- ARGV[4]:   method
-- ARGV[5]:   target
-- ARGV[6]:   route
-- ARGV[7]:   lease in milliseconds
-- ARGV[8]:   retention of an unknown outcome in milliseconds
-- ARGV[9]:   block or resend
-- ARGV[10]:  until when it may be granted, in milliseconds on this server's clock
-- ARGV[11]:  which process claims
-- ARGV[12]:  shadow, or empty where the route enforces
-- Returns:   {granted, fence}, {replay, value}, {busy, value, now}, {mismatch, value without body, now},
--            {unknown, value, now}, {late} or {corrupt}

local id, token, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local record, corrupt = read(id)
if corrupt then return { 'corrupt' } end

local now = clock()
local state = state_of(record, now)
local fence, createdAtMs = 1, now

if state then
  if record.fingerprint ~= fingerprint then return { 'mismatch', summary(record), now } end
  if state == 'completed' then return { 'replay', record.value } end
  if state == 'in-flight' then
    -- Asked again with the same token: the first reply was lost on its way, and the claim is still ours.
    if record.token == token then return { 'granted', record.fence } end
    return { 'busy', record.value, now }
  end
  if ARGV[9] ~= 'resend' then return { 'unknown', record.value, now } end
  -- DANGER: this is where two executions would come from; the next fence lets the upstream refuse the older one.
  fence, createdAtMs = record.fence + 1, record.createdAtMs
end

-- DANGER: whoever asked has given up by now, and may have given the claim back before it came here. Granted, it would
-- stand without an owner.
if now > tonumber(ARGV[10]) then return { 'late' } end

local leaseUntilMs = now + tonumber(ARGV[7])
put({
  id = id, fingerprint = fingerprint, token = token,
  state = 'in-flight', fence = fence, createdAtMs = createdAtMs,
  expiresAtMs = leaseUntilMs + tonumber(ARGV[8]), changedAtMs = leaseUntilMs,
  method = ARGV[4], target = ARGV[5], route = ARGV[6], reason = '', claimedBy = ARGV[11], shadow = ARGV[12] == 'shadow', answeredBy = '',
})
return { 'granted', fence }
