-- ARGV: cursor, jobs a page, '1' for envelopes.
-- ok <next cursor, 0 at the end> then for each job: id, state, lane, score, envelope or ''
-- | unknown
-- A job may come twice; one that stays throughout comes at least once.
if redis.call('EXISTS', META) == 0 then
    return {'unknown'}
end
local page = redis.call('SSCAN', JOBS, ARGV[1], 'COUNT', ARGV[2])
local reply = {'ok', page[1]}
for _, id in ipairs(page[2]) do
    local job = redis.call('HMGET', job_key(id), 'st', 'lane', 'score')
    if job[1] then
        local at = #reply
        reply[at + 1], reply[at + 2], reply[at + 3] = id, job[1], job[2] or ''
        reply[at + 4] = job[3] or '0'
        reply[at + 5] = ARGV[3] == '1' and redis.call('HGET', job_key(id), 'env') or ''
    end
end
return reply
