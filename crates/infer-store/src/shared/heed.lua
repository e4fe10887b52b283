-- All names that are better left alone now, each followed by for how many milliseconds.
-- ARGV: the most names that are answered.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 2, #found, 2 do
  found[i] = string.format('%.0f', tonumber(found[i]) - now)
end
return found
