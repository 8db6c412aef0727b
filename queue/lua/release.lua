-- ARGV: id, token, nonce, preempted, reason.  ok | gone | stale <runner that holds it>
local id, token, nonce = ARGV[1], ARGV[2], ARGV[3]
local key = job_key(id)
local job = fields(id, 'st', 'tok', 'nonce', 'runner', 'ctl', 'past')
if job[1] == '' then
    return {'gone'}
end
if job[6] == token .. nonce then -- said before; its reply was lost
    return {'ok'}
end
if holds(token, nonce, job[2], job[3]) == 'older' or (job[1] ~= 'leased' and job[1] ~= 'ready') then
    return {'stale', job[4]}
end
tick()
redis.call('ZREM', LEASE, id)
if job[5] == 'cancel' then
    forget(id)
    event('cancelled', id, job[4])
    return {'ok'}
end
if ARGV[4] == '1' then
    redis.call('HINCRBY', key, 'np', 1)
    redis.call('HINCRBY', META, 'preempted', 1)
end
redis.call('HSET', key, 'tok', token, 'nonce', '', 'past', token .. nonce, 'reason', ARGV[5])
to_ready(id)
event('released', id, job[4], ARGV[5])
return {'ok'}
