-- ARGV: epoch, lease_ms, '1' for runners to find the run.  ok | stale <stored epoch>
local stored = redis.call('HGET', META, 'epoch')
if stored then
    local refused = lead(ARGV[1])
    if refused then
        return refused
    end
    redis.call('HSET', META, 'lease_ms', ARGV[2])
else
    redis.call('HSET', META, 'schema', '1', 'epoch', ARGV[1], 'counter', '0', 'lease_ms', ARGV[2],
        'paused', '0', 'bytes', '0')
end
if ARGV[3] == '1' then
    redis.call('SADD', RUNS, RUN)
end
tick()
if stored ~= ARGV[1] then
    event('lead', '', '', 'epoch ' .. ARGV[1])
end
return {'ok'}
