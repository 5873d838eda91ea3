-- The times of the requests that passed. ARGV: max, interval (us).
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - interval)
local count = redis.call('ZCARD', KEYS[1])
local passed = count < max
if passed then
    redis.call('ZADD', KEYS[1], now, string.format('%.0f:%d', now, count))
    redis.call('PEXPIRE', KEYS[1], math.ceil(interval / 1000))
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or now
return {passed and 1 or 0, tostring(count + 1), math.max(0, max - count - 1), oldest + interval - now}
