-- Writes a view's features of one entity if their time is newer than what is stored.
-- KEYS[1] the entity's hash; ARGV[1] the time's field, ARGV[2] its protobuf bytes, ARGV[3] seconds to
-- live or 0, then field and value in turn. Returns 1 if written, 0 if what is there is as new or newer.
-- Reading, comparing and writing in one script: two writers cannot pass each other.
local function time_of(bytes)
  local seconds, nanos, at = 0, 0, 1
  while at <= #bytes do
    local tag = bytes:byte(at)
    local number, factor = 0, 1
    repeat
      at = at + 1
      local byte = bytes:byte(at)
      number = number + (byte % 128) * factor
      factor = factor * 128
    until byte < 128
    at = at + 1
    if tag == 8 then seconds = number elseif tag == 16 then nanos = number end
  end
  return seconds, nanos
end

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local old_seconds, old_nanos = time_of(stored)
  local new_seconds, new_nanos = time_of(ARGV[2])
  if old_seconds > new_seconds or (old_seconds == new_seconds and old_nanos >= new_nanos) then
    return 0
  end
end
local fields = {ARGV[1], ARGV[2]}
for at = 4, #ARGV do fields[at - 1] = ARGV[at] end
redis.call('HSET', KEYS[1], unpack(fields))
if tonumber(ARGV[3]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
