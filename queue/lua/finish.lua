-- ARGV: epoch, id.  ok | stale.  Unknown run or job: ok, there is nothing to forget.
local refused = lead(ARGV[1])
if refused then
    return refused[1] == 'unknown' and {'ok'} or refused
end
if redis.call('EXISTS', job_key(ARGV[2])) == 1 then
    forget(ARGV[2])
    event('finished', ARGV[2])
end
return {'ok'}
