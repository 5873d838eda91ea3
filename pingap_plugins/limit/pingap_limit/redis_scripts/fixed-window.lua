-- A window that begins with the first request. ARGV: max, interval (us).
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
    left = math.ceil(ARGV[2] / 1000)
    redis.call('PEXPIRE', KEYS[1], left)
end
local max = tonumber(ARGV[1])
return {count <= max and 1 or 0, tostring(count), math.max(0, max - count), left * 1000}
