-- ARGV: epoch, id or '' for all dead and parked.  ok <count> | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
tick()
local count = 0
for _, set in ipairs({DEAD, PARKED}) do
    local ids = {ARGV[2]}
    if ARGV[2] == '' then
        ids = redis.call('ZRANGE', set, 0, -1)
    end
    for _, id in ipairs(ids) do
        if redis.call('ZREM', set, id) == 1 and redis.call('EXISTS', job_key(id)) == 1 then
            redis.call('HDEL', job_key(id), 'nf', 'np', 'nl', 'nonce', 'past', 'reason')
            to_ready(id)
            event('retried', id)
            count = count + 1
        end
    end
end
return {'ok', text(count)}
