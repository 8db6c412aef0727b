-- ok <epoch> <ready> <delayed> <leased> <dead> <parked> <runners> <paused> <now> <bytes> | unknown
local meta = redis.call('HMGET', META, 'epoch', 'paused', 'bytes')
if not meta[1] then
    return {'unknown'}
end
local now = clock_ms()
local ready = redis.call('ZCARD', READY)
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
    ready = ready + redis.call('ZCARD', lane_key(lane))
end
return {'ok', meta[1], text(ready), text(redis.call('ZCARD', DELAY)),
    text(redis.call('ZCARD', LEASE)), text(redis.call('ZCARD', DEAD)),
    text(redis.call('ZCARD', PARKED)), text(redis.call('ZCOUNT', RUNNERS, text(now), '+inf')),
    meta[2], text(now), meta[3]}
