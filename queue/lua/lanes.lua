-- ok then for each lane that has ready jobs: class ('' any), count | unknown
if redis.call('EXISTS', META) == 0 then
    return {'unknown'}
end
local reply = {'ok'}
local function add(lane)
    local count = redis.call('ZCARD', lane_key(lane))
    if count > 0 then
        reply[#reply + 1] = lane
        reply[#reply + 1] = text(count)
    end
end
add('')
for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
    add(lane)
end
return reply
