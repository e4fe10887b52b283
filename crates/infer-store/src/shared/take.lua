-- Takes from one bucket or two that fill steadily, from all or from none, and says after how many microseconds the call
-- may start. A bucket may owe: who comes later starts later. A wait beyond what is allowed takes nothing and is answered
-- below zero.
-- ARGV: longest wait in microseconds, then for every bucket: cost, capacity, refill a second.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local buckets = (#ARGV - 1) / 3
local form = buckets == 1 and '<dd' or '<ddd'
local state = redis.call('GET', KEYS[1])
local at, first, second = now, nil, nil
if state and #state == 8 * buckets + 8 then
  at, first, second = struct.unpack(form, state)
  if buckets == 1 then second = nil end
end
local levels = {first, second}
local passed = math.max(0, now - at) / 1000000
local wait, fill = 0, 0
for i = 1, buckets do
  local cost, capacity, rate = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local level = levels[i] and math.min(capacity, levels[i] + passed * rate) or capacity
  -- What is larger than the bucket waits until it is full and is charged whole.
  local needed = math.min(cost, capacity)
  if level < needed then
    wait = math.max(wait, math.ceil((needed - level) / rate * 1000000))
  end
  levels[i] = level - cost
  fill = math.max(fill, (capacity - levels[i]) / rate)
end
if wait > tonumber(ARGV[1]) then
  return -wait
end
state = struct.pack(form, math.max(now, at), levels[1], levels[2])
redis.call('SET', KEYS[1], state, 'PX', string.format('%.0f', math.min(fill * 1000 + 1000, 1e14)))
return wait
