-- ARGV: epoch, most jobs under way at once (0: any number).  ok | stale | unknown
local refused = lead(ARGV[1])
if refused then
    return refused
end
redis.call('HSET', META, 'limit', ARGV[2])
ring(WAKE_MAX)
return {'ok'}
