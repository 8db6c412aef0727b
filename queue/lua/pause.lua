-- ARGV: epoch, '1' or '0'.  ok | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
if redis.call('HGET', META, 'paused') ~= ARGV[2] then
    redis.call('HSET', META, 'paused', ARGV[2])
    event(ARGV[2] == '1' and 'paused' or 'resumed', '')
end
if ARGV[2] == '0' then
    ring(WAKE_MAX)
end
return {'ok'}
