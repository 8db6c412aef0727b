-- ARGV: state, at most.  ok <id> ... in the order of the set (ready: lane by lane) | unknown
if redis.call('EXISTS', META) == 0 then
    return {'unknown'}
end
local most = tonumber(ARGV[2])
local all = {delayed = DELAY, leased = LEASE, dead = DEAD, parked = PARKED, ready = READY}
local sets = {all[ARGV[1]]}
if ARGV[1] == 'ready' then
    for _, lane in ipairs(redis.call('SMEMBERS', LANES)) do
        sets[#sets + 1] = lane_key(lane)
    end
end
local reply = {'ok'}
for _, set in ipairs(sets) do
    for _, id in ipairs(redis.call('ZRANGE', set, 0, most - 1)) do
        if #reply <= most then
            reply[#reply + 1] = id
        end
    end
end
return reply
