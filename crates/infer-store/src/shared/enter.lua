-- Takes one of so many places, which is held until its lease is over. Repeating a call with the same id changes nothing
-- but the lease.
-- ARGV: id, how many places there are, the lease in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local is_new = not redis.call('ZSCORE', KEYS[1], ARGV[1])
if is_new and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3])), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
