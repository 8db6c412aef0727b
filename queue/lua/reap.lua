-- ARGV: epoch, jobs looked at for repair.  ok <expired> <parked> <promoted> <repaired>
-- | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
local now, ttl = tick()
local count = sweep(now, 1000, 1000)
local repaired = count.orphan

-- The state in the job's hash is the truth; the sorted sets are its indexes. Scripts are atomic, so
-- they differ only after a hand, an eviction or a failover has removed a key.
local function repair(id)
    local key = job_key(id)
    local job = redis.call('HMGET', key, 'st', 'lane')
    local state = job[1]
    if not state then
        redis.call('SREM', JOBS, id)
        return 1
    end
    local set = ({leased = LEASE, delayed = DELAY, dead = DEAD, parked = PARKED,
        ready = lane_key(job[2] or '')})[state]
    if set and redis.call('ZSCORE', set, id) then
        return 0
    end
    if state == 'leased' then -- its runner may live: a full lease
        redis.call('ZADD', LEASE, text(now + ttl), id)
    elseif state == 'dead' or state == 'parked' then
        redis.call('ZADD', set, text(now), id)
    else
        to_ready(id)
    end
    event('repaired', id, '', state)
    return 1
end

-- SSCAN returns a small set whole; more than asked for is looked at in one go only then.
local page = redis.call('SSCAN', JOBS, redis.call('HGET', META, 'cursor') or '0', 'COUNT', ARGV[2])
redis.call('HSET', META, 'cursor', page[1])
for _, id in ipairs(page[2]) do
    repaired = repaired + repair(id)
end
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
    if redis.call('EXISTS', lane_key(lane)) == 0 then
        redis.call('SREM', LANES, lane)
    end
end
return {'ok', text(count.expired), text(count.parked), text(count.promoted), text(repaired)}
