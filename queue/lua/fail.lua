-- ARGV: id, token, nonce, permanent, reason.  ok <dead> | gone | stale <runner that holds it>
local id, token, nonce = ARGV[1], ARGV[2], ARGV[3]
local key = job_key(id)
local job = fields(id, 'st', 'tok', 'nonce', 'runner', 'ctl', 'past')
if job[1] == '' then
    return {'gone'}
end
if job[6] == token .. nonce then -- said before; its reply was lost
    return {'ok', job[1] == 'dead' and '1' or '0'}
end
if holds(token, nonce, job[2], job[3]) == 'older' or (job[1] ~= 'leased' and job[1] ~= 'ready') then
    return {'stale', job[4]}
end
local now, ttl = tick()
leave_ready(id)
redis.call('ZREM', LEASE, id)
if job[5] == 'cancel' then
    forget(id)
    event('cancelled', id, job[4])
    return {'ok', '0'}
end
local failed = redis.call('HINCRBY', key, 'nf', 1)
redis.call('HINCRBY', META, 'failed', 1)
redis.call('HSET', key, 'tok', token, 'nonce', '', 'past', token .. nonce, 'ctl', '', 'reason',
    ARGV[5])
if ARGV[4] == '1' or failed >= FAILURES_MAX then
    redis.call('HSET', key, 'st', 'dead')
    redis.call('ZADD', DEAD, text(now), id)
    event('dead', id, job[4], ARGV[5])
    return {'ok', '1'}
end
-- 5 s, 10 s, ... at a lease of 30 s, and up to half as much again, drawn from the job's id.
local jitter = tonumber(string.sub(id, 4 * failed - 3, 4 * failed), 16) / 65536
local wait = ttl / 6 * 2 ^ (failed - 1) * (1 + jitter / 2)
redis.call('HSET', key, 'st', 'delayed')
redis.call('ZADD', DELAY, text(now + math.ceil(wait)), id)
event('failed', id, job[4], ARGV[5])
return {'ok', '0'}
