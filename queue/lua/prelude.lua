-- In front of every script, after clock.lua. The binary puts the limits of queue.h before both:
-- FAILURES_MAX, LOST_MAX, EVENTS_MAX, WAKE_MAX.
--
-- KEYS[1] is always n:{run}:meta; every other key of the run is made from it here. A reply is an
-- array of strings whose first element is its word: ok, none, gone, stale, unknown, full.

local META = KEYS[1]
local RUN = string.match(META, '^n:{(.*)}:meta$')
local BASE = 'n:{' .. RUN .. '}:'
local RUNS = 'n:runs'
local READY, LEASE, DELAY = BASE .. 'ready', BASE .. 'lease', BASE .. 'delay'
local DEAD, PARKED = BASE .. 'dead', BASE .. 'parked'
local JOBS, LANES, WAKE = BASE .. 'jobs', BASE .. 'lanes', BASE .. 'wake'
local EVENTS, RUNNERS, ENROL = BASE .. 'ev', BASE .. 'runners', BASE .. 'enrol'

-- Lua's own conversion gives 1.8e+13 for a large number.
local function text(number)
    return string.format('%.0f', number)
end

local function job_key(id)
    return BASE .. 'job:' .. id
end

local function runner_key(name)
    return BASE .. 'w:' .. name
end

-- '' is the lane of jobs that any class may start.
local function lane_key(lane)
    if lane == '' then
        return READY
    end
    return READY .. ':' .. lane
end

-- A field that is not there is '': a queued job keeps only what is not the default, since each
-- field costs Redis some 60 bytes.
local function fields(id, ...)
    local values = redis.call('HMGET', job_key(id), ...)
    for i = 1, #values do
        values[i] = values[i] or ''
    end
    return values
end

local function number(field)
    return tonumber(field) or 0
end

local function event(kind, id, runner, words)
    redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_MAX, '*', 'kind', kind, 'job', id, 'runner',
        runner or '', 'text', words or '')
end

-- Doorbell: each element wakes one sleeper. Losing one costs a poll interval, never a job.
local function ring(count)
    local room = WAKE_MAX - redis.call('LLEN', WAKE)
    for _ = 1, math.min(count, room) do
        redis.call('RPUSH', WAKE, '1')
    end
end

-- The leader's epoch: nil when it leads, else the reply that refuses. A higher one becomes the
-- run's; it is the upper half of every token, so the counter starts again and tokens still grow.
local function lead(epoch)
    local stored = redis.call('HGET', META, 'epoch')
    if not stored then
        return {'unknown'}
    end
    if tonumber(epoch) < tonumber(stored) then
        return {'stale', stored}
    end
    if tonumber(epoch) > tonumber(stored) then
        redis.call('HSET', META, 'epoch', epoch, 'counter', '0')
    end
    return nil
end

-- Tokens are 16 hex digits. As one number they would not fit a double; their halves do.
local function halves(token)
    return tonumber(string.sub(token, 1, 8), 16), tonumber(string.sub(token, 9, 16), 16)
end

local function above(a, b)
    local a_epoch, a_count = halves(a)
    local b_epoch, b_count = halves(b)
    return a_epoch > b_epoch or (a_epoch == b_epoch and a_count > b_count)
end

-- What a caller with (token, nonce) is to a job that remembers (its, nonce): 'same'; 'newer' when
-- Redis has forgotten the caller's claim (a flush, an append-only file cut short); else 'older'.
local function holds(token, nonce, its_token, its_nonce)
    if its_token == '' or above(token, its_token) then
        return 'newer'
    end
    if token == its_token and nonce == its_nonce then
        return 'same'
    end
    return 'older'
end

-- now and the lease time. When the clock has jumped by more than a lease, forward, backward or
-- because Redis was down, deadlines say nothing about the runners: each lease gets a fresh one.
local function tick()
    local now = clock_ms()
    local meta = redis.call('HMGET', META, 'lease_ms', 'seen', 'epoch')
    local ttl = tonumber(meta[1] or '30000')
    local seen = tonumber(meta[2] or text(now))
    if math.abs(now - seen) > ttl then
        for _, id in ipairs(redis.call('ZRANGE', LEASE, 0, -1)) do
            redis.call('ZADD', LEASE, text(now + ttl), id)
        end
        -- Back: what is delayed is so for as long as it was going to be, not for the jump as well.
        local delayed = now < seen and redis.call('ZRANGE', DELAY, 0, -1) or {}
        for _, id in ipairs(delayed) do
            local due = number(redis.call('ZSCORE', DELAY, id))
            redis.call('ZADD', DELAY, text(due + now - seen), id)
        end
        event('clock', '', '', 'jumped by ' .. text(now - seen) .. ' ms')
    end
    if meta[3] then -- do not make a run by looking at it
        redis.call('HSET', META, 'seen', text(now))
    end
    return now, ttl
end

local function to_ready(id)
    local job = fields(id, 'lane', 'score')
    local lane = job[1]
    redis.call('HSET', job_key(id), 'st', 'ready')
    redis.call('HDEL', job_key(id), 'ctl')
    redis.call('ZADD', lane_key(lane), text(number(job[2])), id)
    if lane ~= '' then
        redis.call('SADD', LANES, lane)
    end
    ring(1)
end

local function leave_ready(id)
    redis.call('ZREM', lane_key(fields(id, 'lane')[1]), id)
end

local function forget(id)
    local bytes = redis.call('HSTRLEN', job_key(id), 'env')
    leave_ready(id)
    redis.call('ZREM', LEASE, id)
    redis.call('ZREM', DELAY, id)
    redis.call('ZREM', DEAD, id)
    redis.call('ZREM', PARKED, id)
    redis.call('SREM', JOBS, id)
    redis.call('DEL', job_key(id))
    redis.call('HINCRBY', META, 'bytes', text(0 - bytes))
end

-- A lease ran out. The job keeps token and nonce: until somebody else claims it, its last holder
-- may take the lease up again (renew) or report that it is done (complete).
local function expire(id, now)
    local key = job_key(id)
    local job = fields(id, 'st', 'ctl', 'runner')
    redis.call('ZREM', LEASE, id)
    if job[1] ~= 'leased' then
        return 'orphan'
    end
    if job[2] == 'cancel' then
        forget(id)
        event('cancelled', id, job[3])
        return 'cancelled'
    end
    local lost = redis.call('HINCRBY', key, 'nl', 1)
    redis.call('HINCRBY', META, 'lost', 1)
    if lost >= LOST_MAX then
        local why = 'lost its lease ' .. text(lost) .. ' times without progress'
        redis.call('HSET', key, 'st', 'parked', 'ctl', '', 'reason', why)
        redis.call('ZADD', PARKED, text(now), id)
        event('parked', id, job[3], why)
        return 'parked'
    end
    to_ready(id)
    event('expired', id, job[3])
    return 'expired'
end

-- Expired leases and delayed jobs that are due: both in a bounded number a call.
local function sweep(now, expired_max, due_max)
    local count = {expired = 0, parked = 0, cancelled = 0, orphan = 0, promoted = 0}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASE, '-inf', text(now), 'LIMIT', 0,
        expired_max)) do
        local what = expire(id, now)
        count[what] = count[what] + 1
    end
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAY, '-inf', text(now), 'LIMIT', 0,
        due_max)) do
        redis.call('ZREM', DELAY, id)
        if redis.call('HGET', job_key(id), 'st') == 'delayed' then
            to_ready(id)
            count.promoted = count.promoted + 1
        end
    end
    return count
end
