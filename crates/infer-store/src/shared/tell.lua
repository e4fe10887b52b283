-- Notes until when a name is better left alone, the latest time of all that were told.
-- ARGV: name, for how many milliseconds, the most names that are kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = now + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if till > known then
  redis.call('ZADD', KEYS[1], string.format('%.0f', till), ARGV[1])
  -- The ones that end first make room.
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2]) + 1000))
end
return 1
