-- ARGV: envelope, most waiting.  ok | full.  Bounded: anybody who reaches Redis can push here.
if redis.call('LLEN', ENROL) >= tonumber(ARGV[2]) then
    return {'full'}
end
redis.call('RPUSH', ENROL, ARGV[1])
return {'ok'}
