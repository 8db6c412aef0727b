-- ARGV: epoch, leader's name, for how long it may be silent in ms, window in bytes.
-- ok | stale | unknown.  A sign of life and no more: who leads is decided in the bucket.
local refused = lead(ARGV[1])
if refused then
    return refused
end
redis.call('HSET', META, 'leader', ARGV[2], 'leader_until', text(clock_ms() + tonumber(ARGV[3])),
    'leader_ms', ARGV[3], 'window', ARGV[4])
return {'ok'}
