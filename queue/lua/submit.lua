-- ARGV: epoch, count, then for each job: id, envelope, lane, score, not_before_ms, nl.
-- ok <added> | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
local now = tick()
local added = 0
for i = 0, tonumber(ARGV[2]) - 1 do
    local id, envelope, lane, score, not_before, lost = unpack(ARGV, 3 + i * 6, 8 + i * 6)
    local key = job_key(id)
    if redis.call('EXISTS', key) == 0 then
        redis.call('HSET', key, 'st', 'delayed', 'env', envelope, 'score', score)
        if lane ~= '' then
            redis.call('HSET', key, 'lane', lane)
        end
        if lost ~= '0' then
            redis.call('HSET', key, 'nl', lost)
        end
        redis.call('SADD', JOBS, id)
        redis.call('HINCRBY', META, 'bytes', #envelope)
        if tonumber(not_before) > now then
            redis.call('ZADD', DELAY, not_before, id)
        else
            to_ready(id)
        end
        event('submitted', id)
        added = added + 1
    end
end
return {'ok', text(added)}
