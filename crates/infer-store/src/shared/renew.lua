-- Holds places for another lease, also those of which nothing is known here any more: their calls run.
-- ARGV: the lease in ms, then the ids.
local time = redis.call('TIME')
local due = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], due, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
