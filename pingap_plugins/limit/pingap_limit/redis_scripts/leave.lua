-- Give a slot back. ARGV: name of the slot.
return redis.call('ZREM', KEYS[1], ARGV[1])
