-- Replaces a reservation by what was used. The last key marks the id as settled, so that repeating counts once.
-- ARGV: id, how long to remember it in ms, then for every account: used, when its window ends in ms or 0.
local id = ARGV[1]
if not redis.call('SET', KEYS[#KEYS], '1', 'NX', 'PX', ARGV[2]) then
  return 0
end
for i = 1, (#KEYS - 1) / 3 do
  local spent, held, amounts = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local reserved = redis.call('HGET', amounts, id)
  if reserved then
    redis.call('HINCRBY', amounts, 'sum', string.format('%.0f', 0 - tonumber(reserved)))
    redis.call('HDEL', amounts, id)
    redis.call('ZREM', held, id)
  end
  if ARGV[2 * i + 1] ~= '0' then
    redis.call('INCRBY', spent, ARGV[2 * i + 1])
    if ARGV[2 * i + 2] ~= '0' then
      redis.call('PEXPIREAT', spent, ARGV[2 * i + 2])
    end
  end
end
return 1
