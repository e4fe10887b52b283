-- What is spent and what is reserved in each of some accounts, whose keys are those of a reservation.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i = 1, #KEYS / 3 do
  local spent, held, amounts = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local reserved = tonumber(redis.call('HGET', amounts, 'sum') or '0')
  -- Reservations that are over are taken away by the next one that is made.
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now, 'LIMIT', 0, 1000)) do
    reserved = reserved - tonumber(redis.call('HGET', amounts, old) or '0')
  end
  answer[2 * i - 1] = redis.call('GET', spent) or '0'
  answer[2 * i] = string.format('%.0f', math.max(0, reserved))
end
return answer
