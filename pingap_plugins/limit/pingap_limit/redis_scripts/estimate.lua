-- The estimate of pingap 0.13.9. ARGV: max, interval (us), weight of this window.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, interval, weight = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local piece = math.floor(now / interval)
local kept = redis.call('HMGET', KEYS[1], 'piece', 'before', 'count')
local noted, before, count = tonumber(kept[1]), tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
if noted ~= piece then
    before, count = noted == piece - 1 and count or 0, 0
end
count = count + 1
local left = (piece + 1) * interval - now
redis.call('HSET', KEYS[1], 'piece', string.format('%.0f', piece), 'before', before, 'count', count)
redis.call('PEXPIRE', KEYS[1], math.ceil((left + interval) / 1000))
local used = math.max(count, before * (1 - weight) + count * weight)
return {used <= max and 1 or 0, tostring(used), math.max(0, math.floor(max - used)), left}
