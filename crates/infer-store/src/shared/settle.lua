-- Replaces a reservation by what was used. The last key marks the id as settled, so that repeating counts once.
-- Each account has a fourth key, the names of the accounts in which something was used.
-- ARGV: id, how long to remember it in ms, then for every account: used, when its window ends in ms or 0, its name or ''.
local id = ARGV[1]
if not redis.call('SET', KEYS[#KEYS], '1', 'NX', 'PX', ARGV[2]) then
  return 0
end
for i = 1, (#KEYS - 1) / 4 do
  local spent, held, amounts, names = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i]
  local used, till, name = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local reserved = redis.call('HGET', amounts, id)
  if reserved then
    redis.call('HINCRBY', amounts, 'sum', string.format('%.0f', 0 - tonumber(reserved)))
    redis.call('HDEL', amounts, id)
    redis.call('ZREM', held, id)
  end
  if used ~= '0' then
    redis.call('INCRBY', spent, used)
    if till ~= '0' then
      redis.call('PEXPIREAT', spent, till)
    end
    if name ~= '' then
      redis.call('SADD', names, name)
      if till ~= '0' then
        redis.call('PEXPIREAT', names, till)
      end
    end
  end
end
return 1
