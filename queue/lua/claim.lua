-- ARGV: runner, class, nonce, ids that are passed over (each with a blank behind it).
-- ok <id> <envelope> <token> <slot> <ttl> <now> <nf> <np> <nl> | none <why> | full
local runner, class, nonce, passed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch = redis.call('HGET', META, 'epoch')
if not epoch then
    return {'none', 'the run has no queue here'}
end
local now, ttl = tick()
sweep(now, 5, 100)
if redis.call('HGET', runner_key(runner), 'ctl') == 'drain' then
    return {'none', 'the runner is drained'}
end
local meta = redis.call('HMGET', META, 'paused', 'counter', 'limit')
if meta[1] == '1' then
    return {'none', 'the run is paused'}
end
local limit = tonumber(meta[3] or '0')
if limit > 0 and redis.call('ZCARD', LEASE) >= limit then
    return {'none', 'as many jobs are under way as the run may have'}
end
local counter = tonumber(meta[2]) + 1
if counter > 4294967295 then
    return {'full'} -- the leader must raise the epoch
end

local passed_count = select(2, string.gsub(passed, ' ', ''))

-- The first of a lane that is not passed over, and its score.
local function head_of(lane)
    local heads = redis.call('ZRANGE', lane, 0, passed_count, 'WITHSCORES')
    for i = 1, #heads, 2 do
        if not string.find(passed, heads[i] .. ' ', 1, true) then
            return heads[i], tonumber(heads[i + 1])
        end
    end
end

local function pop()
    local best_lane, best_id, best_score
    local lanes = {READY}
    if class ~= '' then
        lanes[2] = lane_key(class)
    end
    for _, lane in ipairs(lanes) do
        local id, score = head_of(lane)
        if id and (not best_id or score < best_score) then
            best_lane, best_id, best_score = lane, id, score
        end
    end
    if best_id then
        redis.call('ZREM', best_lane, best_id)
    end
    return best_id
end

-- An entry whose job is not ready is debris of a repair: dropped, a bounded number a call.
for _ = 1, 100 do
    local id = pop()
    if not id then
        break
    end
    local key = job_key(id)
    if redis.call('HGET', key, 'st') == 'ready' then
        local token = string.format('%08x%08x', tonumber(epoch), counter)
        redis.call('HSET', META, 'counter', text(counter))
        redis.call('HSET', key, 'st', 'leased', 'tok', token, 'nonce', nonce, 'runner', runner)
        redis.call('HDEL', key, 'past', 'ctl', 'units', 'note', 'reason')
        redis.call('ZADD', LEASE, text(now + ttl), id)
        event('claimed', id, runner)
        local job = fields(id, 'env', 'slot', 'nf', 'np', 'nl')
        return {'ok', id, job[1], token, text(number(job[2])), text(ttl), text(now),
            text(number(job[3])), text(number(job[4])), text(number(job[5]))}
    end
end
return {'none', 'nothing is ready'}
