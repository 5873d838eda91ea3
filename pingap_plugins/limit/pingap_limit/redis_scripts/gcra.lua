-- A supply that refills steadily. ARGV: max, interval (us), burst.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local step = interval / max
local full_at = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local debt = full_at - now
local passed = debt + step <= step * burst * (1 + 1e-9)
if passed then
    debt = debt + step
    redis.call('SET', KEYS[1], string.format('%.3f', now + debt), 'PX', math.ceil(debt / 1000))
end
local remaining = math.max(0, math.floor(burst - debt / step + 1e-6))
local reset = debt - (burst - remaining - 1) * step
return {passed and 1 or 0, tostring(max - remaining + (passed and 0 or 1)), remaining, math.ceil(reset)}
