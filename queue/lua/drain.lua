-- ARGV: epoch, runner.  ok <its jobs that will hear it> | nobody | stale | unknown
-- The runner hears it with its next heartbeat or announcement; it gets no claim any more.
local refused = lead(ARGV[1])
if refused then
    return refused
end
if redis.call('EXISTS', runner_key(ARGV[2])) == 0 then
    return {'nobody', ARGV[2]}
end
redis.call('HSET', runner_key(ARGV[2]), 'ctl', 'drain')
local told = 0
for _, id in ipairs(redis.call('ZRANGE', LEASE, 0, -1)) do
    local job = fields(id, 'runner', 'ctl')
    if job[1] == ARGV[2] and job[2] ~= 'cancel' then
        redis.call('HSET', job_key(id), 'ctl', 'drain')
        told = told + 1
    end
end
event('draining', '', ARGV[2])
return {'ok', text(told)}
