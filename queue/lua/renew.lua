-- ARGV: id, token, nonce, runner, units, slot, step, note.
-- ok <control> <ttl> <now> | gone | stale <runner that holds it>
local id, token, nonce, runner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = job_key(id)
local job = fields(id, 'st', 'tok', 'nonce', 'runner', 'ctl', 'slot', 'step', 'note')
local state = job[1]
if state == '' then
    return {'gone'}
end
local held = holds(token, nonce, job[2], job[3])
if held == 'older' or state == 'dead' or state == 'parked' then
    return {'stale', job[4]}
end
local now, ttl = tick()

-- The lease ran out and nobody took the job, or Redis forgot the claim: the runner goes on with it.
if state ~= 'leased' then
    leave_ready(id)
    redis.call('ZREM', DELAY, id)
    redis.call('HSET', key, 'st', 'leased')
    redis.call('HDEL', key, 'ctl')
    job[5] = ''
end
if state ~= 'leased' or held == 'newer' then
    redis.call('HSET', key, 'tok', token, 'nonce', nonce, 'runner', runner)
    redis.call('HDEL', key, 'past')
    event('adopted', id, runner)
    -- Redis may have forgotten that it gave this token: never give it again.
    local meta = redis.call('HMGET', META, 'epoch', 'counter')
    local epoch, count = halves(token)
    if meta[1] and epoch == tonumber(meta[1]) and count > tonumber(meta[2]) then
        redis.call('HSET', META, 'counter', text(count))
    end
end
redis.call('ZADD', LEASE, text(now + ttl), id)

local slot, step = ARGV[6], ARGV[7]
if tonumber(step) > number(job[7]) then -- progress heals
    redis.call('HSET', key, 'step', step)
    redis.call('HDEL', key, 'nl')
end
if tonumber(slot) > number(job[6]) then
    redis.call('HSET', key, 'slot', slot)
end
redis.call('HSET', key, 'units', ARGV[5])
if ARGV[8] ~= '' and ARGV[8] ~= job[8] then
    redis.call('HSET', key, 'note', ARGV[8])
    event('progress', id, runner, ARGV[8])
end
if job[5] == 'checkpoint' then
    redis.call('HDEL', key, 'ctl') -- said once
end
return {'ok', job[5], text(ttl), text(now)}
