-- ARGV: id, token, nonce, lane.  ok | gone | stale <runner that holds it>
-- Only the holder of the lease may: then the job is in no lane and nothing has to move.
local key = job_key(ARGV[1])
local job = fields(ARGV[1], 'st', 'tok', 'nonce', 'runner')
if job[1] == '' then
    return {'gone'}
end
if job[1] ~= 'leased' or holds(ARGV[2], ARGV[3], job[2], job[3]) == 'older' then
    return {'stale', job[4]}
end
redis.call('HSET', key, 'lane', ARGV[4])
return {'ok'}
