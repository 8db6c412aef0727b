-- ARGV: epoch.  ok | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
redis.call('HDEL', META, 'leader', 'leader_until', 'leader_ms')
return {'ok'}
