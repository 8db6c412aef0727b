-- ARGV: epoch.  ok | stale.  Unknown run: ok after removing what may be left.
local refused = lead(ARGV[1])
if refused and refused[1] == 'stale' then
    return refused
end
for _, id in ipairs(redis.call('SMEMBERS', JOBS)) do
    redis.call('DEL', job_key(id))
end
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
    redis.call('DEL', lane_key(lane))
end
for _, name in ipairs(redis.call('ZRANGE', RUNNERS, 0, -1)) do
    redis.call('DEL', runner_key(name))
end
redis.call('DEL', READY, LEASE, DELAY, DEAD, PARKED, JOBS, LANES, WAKE)
redis.call('DEL', EVENTS, RUNNERS, ENROL, META)
redis.call('SREM', RUNS, RUN)
return {'ok'}
