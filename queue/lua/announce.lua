-- ARGV: runner, host, class.  ok <'drain' or ''> | unknown
if redis.call('EXISTS', META) == 0 then
    return {'unknown'}
end
local now, ttl = tick()
local key = runner_key(ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', RUNNERS, '-inf', text(now))) do
    redis.call('ZREM', RUNNERS, name)
    redis.call('DEL', runner_key(name))
end
redis.call('HSET', key, 'host', ARGV[2], 'class', ARGV[3])
redis.call('ZADD', RUNNERS, text(now + 3 * ttl), ARGV[1])
return {'ok', redis.call('HGET', key, 'ctl') or ''}
