-- This window, and a part of the one before. ARGV: max, interval (us).
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local piece = math.floor(now / interval)
local kept = redis.call('HMGET', KEYS[1], 'piece', 'before', 'count')
local noted, before, count = tonumber(kept[1]), tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
if noted ~= piece then
    before, count = noted == piece - 1 and count or 0, 0
end
local left = (piece + 1) * interval - now
local used = math.floor(before * left / interval) + count + 1
local passed = used <= max
if passed then
    redis.call('HSET', KEYS[1], 'piece', string.format('%.0f', piece), 'before', before, 'count', count + 1)
    redis.call('PEXPIRE', KEYS[1], math.ceil((left + interval) / 1000))
end
-- One more passes when the part of the window before has become smaller, or when this window ends.
local reset = before > 0 and math.min(left, left % (interval / before) + 1) or left
return {passed and 1 or 0, tostring(used), math.max(0, max - used), math.ceil(reset)}
