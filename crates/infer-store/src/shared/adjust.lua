-- Charges what a call used beyond what it took, or gives back what it did not use. A bucket that is not there is full.
-- ARGV: for every bucket: used beyond what was taken, capacity, refill a second.
local buckets = #ARGV / 3
local form = buckets == 1 and '<dd' or '<ddd'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('GET', KEYS[1])
local at, first, second = now, nil, nil
if state and #state == 8 * buckets + 8 then
  at, first, second = struct.unpack(form, state)
  if buckets == 1 then second = nil end
end
local levels = {first, second}
local passed = math.max(0, now - at) / 1000000
local fill = 0
for i = 1, buckets do
  local more, capacity, rate = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local level = levels[i] and levels[i] + passed * rate or capacity
  levels[i] = math.min(capacity, level - more)
  fill = math.max(fill, (capacity - levels[i]) / rate)
end
state = struct.pack(form, math.max(now, at), levels[1], levels[2])
redis.call('SET', KEYS[1], state, 'PX', string.format('%.0f', math.min(fill * 1000 + 1000, 1e14)))
return 0
