-- The one place that reads Redis's clock. Tests put another file in its place.
local function clock_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
