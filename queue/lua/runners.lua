-- ok then for each runner that is alive: name, host, class, drain or '' | unknown
if redis.call('EXISTS', META) == 0 then
    return {'unknown'}
end
local reply = {'ok'}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', RUNNERS, text(clock_ms()), '+inf')) do
    local about = redis.call('HMGET', runner_key(name), 'host', 'class', 'ctl')
    reply[#reply + 1] = name
    reply[#reply + 1] = about[1] or ''
    reply[#reply + 1] = about[2] or ''
    reply[#reply + 1] = about[3] or ''
end
return reply
