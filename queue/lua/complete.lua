-- ARGV: id, token, nonce, hash of the terminal slot.  ok | stale <runner that holds it>
-- The job is gone: done already, or Redis forgot it; the bucket has the terminal slot either way.
local id = ARGV[1]
local job = fields(id, 'st', 'tok', 'nonce', 'runner')
if job[1] == '' then
    return {'ok'}
end
if holds(ARGV[2], ARGV[3], job[2], job[3]) == 'older' then
    return {'stale', job[4]}
end
tick()
forget(id)
event('completed', id, job[4], ARGV[4])
return {'ok'}
