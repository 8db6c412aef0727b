-- ARGV: epoch, id.  ok <was leased> | stale.  Unknown run or job: ok 0.
local refused = lead(ARGV[1])
if refused then
    return refused[1] == 'unknown' and {'ok', '0'} or refused
end
local id = ARGV[2]
local job = fields(id, 'st', 'runner')
if job[1] == '' then
    return {'ok', '0'}
end
if job[1] == 'leased' then
    redis.call('HSET', job_key(id), 'ctl', 'cancel')
    event('cancelling', id, job[2])
    return {'ok', '1'}
end
forget(id)
event('cancelled', id)
return {'ok', '0'}
