-- Reserves in every account or in none. Each account has three keys: what is spent in its window, its reservations by
-- expiry, and their amounts with the sum of them. Repeating a call with the same id changes nothing.
-- ARGV: id, time to live in ms, then for every account: amount, limit, 1 to refuse or 0 to let pass.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, ttl = ARGV[1], tonumber(ARGV[2])
local accounts = #KEYS / 3
local answer, stopped = {}, 0
for i = 1, accounts do
  local spent_key, held, amounts = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now, 'LIMIT', 0, 1000)) do
    local amount = redis.call('HGET', amounts, old)
    if amount then
      redis.call('HINCRBY', amounts, 'sum', string.format('%.0f', 0 - tonumber(amount)))
      redis.call('HDEL', amounts, old)
    end
    redis.call('ZREM', held, old)
  end
  local mine = tonumber(redis.call('HGET', amounts, id) or '0')
  local used = tonumber(redis.call('GET', spent_key) or '0') + tonumber(redis.call('HGET', amounts, 'sum') or '0') - mine
  local amount, limit = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local exceeds = used >= limit or used + amount > limit
  if exceeds and ARGV[3 * i + 2] == '1' and stopped == 0 then
    stopped = i
  end
  answer[i + 1] = string.format('%.0f', exceeds and used or -1)
end
if stopped == 0 then
  for i = 1, accounts do
    local held, amounts = KEYS[3 * i - 1], KEYS[3 * i]
    if redis.call('HSETNX', amounts, id, ARGV[3 * i]) == 1 then
      redis.call('HINCRBY', amounts, 'sum', ARGV[3 * i])
      redis.call('ZADD', held, now + ttl, id)
      redis.call('PEXPIRE', amounts, ttl + 60000)
      redis.call('PEXPIRE', held, ttl + 60000)
    end
  end
end
answer[1] = string.format('%.0f', stopped)
return answer
