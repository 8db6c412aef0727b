-- ARGV: id.
-- ok <state> <runner> <note> <reason> <token> <step> <slot> <nf> <np> <nl> <lease left> <lane>
-- | gone
local job = fields(ARGV[1], 'st', 'runner', 'note', 'reason', 'tok', 'step', 'slot', 'nf', 'np',
    'nl', 'lane')
if job[1] == '' then
    return {'gone'}
end
local deadline = redis.call('ZSCORE', LEASE, ARGV[1])
local left = deadline and tonumber(deadline) - clock_ms() or 0
local token = job[5] ~= '' and job[5] or '0000000000000000'
local reply = {'ok', job[1], job[2], job[3], job[4], token}
for i = 6, 10 do
    reply[#reply + 1] = text(number(job[i]))
end
reply[#reply + 1] = text(left)
reply[#reply + 1] = job[11]
return reply
