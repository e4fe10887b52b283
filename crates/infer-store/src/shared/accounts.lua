-- The names that each of some sets has, at most so many of each.
-- ARGV: the most names.
local most = tonumber(ARGV[1])
local answer = {}
for i = 1, #KEYS do
  if redis.call('SCARD', KEYS[i]) <= most then
    answer[i] = redis.call('SMEMBERS', KEYS[i])
  else
    answer[i] = redis.call('SRANDMEMBER', KEYS[i], most)
  end
end
return answer
