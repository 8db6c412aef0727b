-- ok <epoch> <ready> <delayed> <leased> <dead> <parked> <runners> <paused> <now> <bytes> <leader>
-- <window> <limit> <failed> <preempted> <lost> | unknown
local meta = redis.call('HMGET', META, 'epoch', 'paused', 'bytes', 'leader', 'leader_until',
    'window', 'limit', 'failed', 'preempted', 'lost', 'leader_ms')
if not meta[1] then
    return {'unknown'}
end
local now = clock_ms()
local ready = redis.call('ZCARD', READY)
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
    ready = ready + redis.call('ZCARD', lane_key(lane))
end
-- A sign of life that lasts much longer than it was given for is from before the clock jumped back.
local left = number(meta[5]) - now
local leader = left > 0 and left <= 2 * number(meta[11]) and meta[4] or ''
return {'ok', meta[1], text(ready), text(redis.call('ZCARD', DELAY)),
    text(redis.call('ZCARD', LEASE)), text(redis.call('ZCARD', DEAD)),
    text(redis.call('ZCARD', PARKED)), text(redis.call('ZCOUNT', RUNNERS, text(now), '+inf')),
    meta[2], text(now), meta[3], leader, meta[6] or '0', meta[7] or '0', meta[8] or '0',
    meta[9] or '0', meta[10] or '0'}
