-- ARGV: epoch, id or '' for all leased, control.  ok <told> | stale | unknown
-- A cancelled job stays cancelled.
local refused = lead(ARGV[1])
if refused then
    return refused
end
local ids = {ARGV[2]}
if ARGV[2] == '' then
    ids = redis.call('ZRANGE', LEASE, 0, -1)
end
local told = 0
for _, id in ipairs(ids) do
    local job = redis.call('HMGET', job_key(id), 'st', 'ctl')
    if job[1] == 'leased' and job[2] ~= 'cancel' then
        redis.call('HSET', job_key(id), 'ctl', ARGV[3])
        told = told + 1
    end
end
return {'ok', text(told)}
