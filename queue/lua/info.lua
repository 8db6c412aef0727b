-- ARGV: id.
-- ok <state> <runner> <note> <reason> <token> <step> <slot> <nf> <np> <nl> <lease left> <lane>
-- | gone
local job = redis.call('HMGET', job_key(ARGV[1]), 'st', 'runner', 'note', 'reason', 'tok', 'step',
    'slot', 'nf', 'np', 'nl', 'lane')
if not job[1] then
    return {'gone'}
end
local deadline = redis.call('ZSCORE', LEASE, ARGV[1])
local left = deadline and tonumber(deadline) - clock_ms() or 0
local token = job[5] ~= '' and job[5] or '0000000000000000'
return {'ok', job[1], job[2], job[3], job[4], token, job[6], job[7], job[8], job[9], job[10],
    text(left), job[11]}
