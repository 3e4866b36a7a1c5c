"""The Lua scripts of `RedisLog`. Each is atomic, compares the generation before it writes, and renews what expires.

Keys, in one cluster slot by their hash tag: 1 the state (hash), 2 the lease (string), 3 the entries (stream). Entry ids
are `<epoch>-<seq>`: dense, so that a hole shows; and higher in a later life, so that readers of the former one wake up.
Nothing is matched in payloads: an end is an entry with the field `fin`. Needs Redis 7 or Valkey.

State: gen, ep, seq, st, ends, tok, fmt, ct, meta, mk (secret), at (ms), cancel, ctl (control key of the producer's
process), and after the end fin, e (error), t (told).
"""

from __future__ import annotations

from hashlib import sha1

__all__ = [
    "ACQUIRE",
    "APPEND",
    "CANCEL",
    "DELETE",
    "FINALIZE",
    "HEAR",
    "INFO",
    "NUDGE",
    "ORPHAN",
    "READ",
    "SCRIPTS",
    "sha",
]

_NOW = """
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
"""

_INFO = (
    _NOW
    + """
local function info()
  local m = redis.call('HMGET', KEYS[1], 'st', 'seq', 'gen', 'ep', 'fmt', 'ct', 'meta', 'cancel', 'at',
                       'e', 't', 'ends', 'mk')
  if m[1] then
    m[9] = string.format('%.0f', now() - tonumber(m[9]))
    m[14] = redis.call('EXISTS', KEYS[2])
  end
  return m
end
"""
)

# The end of an open stream: entry, state, short time to live.
_CLOSE = """
local function close(status, err, told, retain)
  local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
  local ep = redis.call('HGET', KEYS[1], 'ep')
  redis.call('XADD', KEYS[3], ep .. '-' .. seq, 'fin', status, 'e', err, 't', told)
  redis.call('HSET', KEYS[1], 'st', status, 'e', err, 't', told)
  redis.call('HINCRBY', KEYS[1], 'ends', 1)
  redis.call('DEL', KEYS[2])
  redis.call('PEXPIRE', KEYS[1], retain)
  redis.call('PEXPIRE', KEYS[3], retain)
end
"""

# mode, token, lease, ttl, control key, fmt, ct, meta, secret -> {won, info...}
ACQUIRE = (
    _INFO
    + """
local m = redis.call('HMGET', KEYS[1], 'gen', 'st', 'tok', 'mk')
local gen, st, mode = tonumber(m[1] or 0), m[2], ARGV[1]
if m[3] == ARGV[2] then return {1, info()} end
local fresh = not st or mode == 'replace'
if not fresh then
  local dead = st == 'orphaned' or st == 'error' or (st == 'open' and redis.call('EXISTS', KEYS[2]) == 0)
  if mode ~= 'resume' or not dead then return {0, info()} end
end
local at = now()
gen = string.format('%.0f', math.max(gen + 1, at))
redis.call('HSET', KEYS[1], 'tok', ARGV[2])  -- first: refused when memory is full, which no write after a DEL would be
if fresh then
  redis.call('DEL', KEYS[1], KEYS[3])
  redis.call('HSET', KEYS[1], 'ep', gen, 'seq', 0, 'ends', 0, 'at', string.format('%.0f', at),
             'fmt', ARGV[6], 'ct', ARGV[7], 'meta', ARGV[8], 'mk', m[4] or ARGV[9])
end
redis.call('HDEL', KEYS[1], 'cancel', 'e', 't')
redis.call('HSET', KEYS[1], 'gen', gen, 'st', 'open', 'tok', ARGV[2], 'ctl', ARGV[5])
redis.call('SET', KEYS[2], gen, 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return {1, info()}
"""
)

# gen, first, lease, ttl, maxlen, exact, items...
# -> {'ok', cancel} | {'gone'} | {'fenced'} | {'ended', st} | {'lost', seq}
APPEND = """
local m = redis.call('HMGET', KEYS[1], 'gen', 'st', 'seq', 'ep', 'cancel')
if not m[1] then return {'gone'} end
if m[1] ~= ARGV[1] then return {'fenced'} end
if m[2] ~= 'open' then return {'ended', m[2]} end
local seq, first = tonumber(m[3]), tonumber(ARGV[2])
if seq < first - 1 then return {'lost', m[3]} end
local from = 7 + seq - first + 1
if from <= #ARGV then
  local head = m[4] .. '-'
  for i = from, #ARGV do
    seq = seq + 1
    redis.call('XADD', KEYS[3], head .. string.format('%.0f', seq), 'd', ARGV[i])
  end
  redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq))
  if ARGV[6] == '1' then
    redis.call('XTRIM', KEYS[3], 'MAXLEN', ARGV[5])
  else
    redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', ARGV[5], 'LIMIT', 1000)
  end
end
redis.call('SET', KEYS[2], m[1], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return {'ok', m[5]}
"""

# gen, status, error, told, retain -> as APPEND
FINALIZE = (
    _CLOSE
    + """
local m = redis.call('HMGET', KEYS[1], 'gen', 'st', 'e')
if not m[1] then return {'gone'} end
if m[1] ~= ARGV[1] then return {'fenced'} end
if m[2] ~= 'open' then return (m[2] == ARGV[2] and m[3] == ARGV[3]) and {'ok'} or {'ended', m[2]} end
close(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return {'ok'}
"""
)

# gen, status, error, told, retain -> 1 | 0
ORPHAN = (
    _CLOSE
    + """
local m = redis.call('HMGET', KEYS[1], 'gen', 'st')
if m[1] ~= ARGV[1] or m[2] ~= 'open' or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
close(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return 1
"""
)

# reason, retain -> {status before, control key}
CANCEL = (
    _CLOSE
    + """
local m = redis.call('HMGET', KEYS[1], 'st', 'ctl')
if m[1] == 'open' then
  redis.call('HSETNX', KEYS[1], 'cancel', ARGV[1])
  if redis.call('EXISTS', KEYS[2]) == 0 then
    close('cancelled', '', '0', ARGV[2])
    return {'open', false}
  end
end
return {m[1] or 'missing', m[2]}
"""
)

DELETE = "return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])"

INFO = _INFO + "return info()"

# epoch, after, count -> {ep, seq, st, entries} | nil
READ = """
local m = redis.call('HMGET', KEYS[1], 'ep', 'seq', 'st')
if not m[1] then return false end
local entries = {}
if m[1] == ARGV[1] then
  entries = redis.call('XRANGE', KEYS[3], '(' .. ARGV[1] .. '-' .. ARGV[2], ARGV[1], 'COUNT', ARGV[3])
end
return {m[1], m[2], m[3], entries}
"""

# Wakes the reader of a process. KEYS[1] its control key; word, reason, ttl.
NUDGE = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100, '*', 'k', ARGV[1], 'r', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

# What a process has not heard yet, where XREAD cannot be used. KEYS[1] its control key; id.
HEAR = "return redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')"

SCRIPTS = [HEAR, ACQUIRE, APPEND, FINALIZE, ORPHAN, CANCEL, DELETE, INFO, READ, NUDGE]


def _digests() -> dict[str, str]:
    return {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in SCRIPTS}


sha = _digests()
"""Script -> its name for EVALSHA."""
