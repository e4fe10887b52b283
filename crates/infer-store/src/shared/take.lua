-- Takes from a bucket that fills steadily, or says for how many microseconds to wait. The second key remembers the id, so
-- that repeating a call whose answer was lost takes once.
-- ARGV: cost, capacity, refill a second.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(state[1] or capacity), tonumber(state[2] or now)
if now > at then
  level = math.min(capacity, level + (now - at) / 1000000 * rate)
else
  now = at
end
-- What is larger than the bucket waits until it is full and is charged whole.
local needed = math.min(cost, capacity)
if level < needed then
  return math.ceil((needed - level) / rate * 1000000)
end
level = level - cost
redis.call('HSET', KEYS[1], 'level', string.format('%.9f', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - level) / rate * 1000) + 1000)
redis.call('SET', KEYS[2], '1', 'PX', 10000)
return 0
