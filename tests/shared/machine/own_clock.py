"""The real scripts on the real server, under a clock of the test: time passes when the test says so.

In come calls on the store, out go their replies; beside that, the whole content of the store at a moment. The text of
the scripts is unchanged but for one bound that no walk would reach (`LOG_MOST`): before it stands a chunk of Lua that
gives the name `redis` to a table of its own. Its TIME is the test's, and it turns every lifetime (EXPIRE, PEXPIRE, SET
... EX or PX) into the same moment of the test's clock. That clock runs far ahead of the server's, so the server itself
never lets a key go; `Clock.advance` deletes those whose moment is past, as the server would: retention and notes are on
the same clock as leases and deadlines. In a real installation both are the server's one clock. Knows no job.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import redis

from shared.scripts import scripts
from shared.store import PREFIX, Call, JobStore

T = TypeVar("T")

START_MS = 4_000_000_000_000
"""In the year 2096: no lifetime of a test ends by the server's own clock."""

LOG_MOST = 4
"""Deliveries in each of an owner's lists, in the place of 10,000."""
_LOG_MOST = ("LOG_MOST, LOG_S = 10000,", f"LOG_MOST, LOG_S = {LOG_MOST},")

_OWN_CLOCK = """\
local server = redis
local own_prefix, own_now = string.match(ARGV[1], '^(.*)@(%d+)$')
own_now = tonumber(own_now)
ARGV[1] = own_prefix
local function own_ms(ms)
  local t = server.call('TIME')
  return string.format('%d', math.floor(own_now / 1000) + ms - (t[1] * 1000 + math.floor(t[2] / 1000)))
end
local own_commands = {
  TIME = function()
    return { string.format('%d', math.floor(own_now / 1000000)), string.format('%d', own_now % 1000000) }
  end,
  EXPIRE = function(_, key, s, ...) return server.call('PEXPIRE', key, own_ms(tonumber(s) * 1000), ...) end,
  PEXPIRE = function(_, key, ms, ...) return server.call('PEXPIRE', key, own_ms(tonumber(ms)), ...) end,
  SET = function(name, key, value, ...)
    local options = { ... }
    for at, option in ipairs(options) do
      if option == 'EX' or option == 'PX' then
        options[at] = 'PX'
        options[at + 1] = own_ms(tonumber(options[at + 1]) * (option == 'EX' and 1000 or 1))
      end
    end
    return server.call(name, key, value, unpack(options))
  end,
}
for name in string.gmatch('EXPIREAT PEXPIREAT EXPIRETIME PEXPIRETIME PTTL SETEX PSETEX GETEX HEXPIRE', '%u+') do
  own_commands[name] = function() error('tests/shared/machine/own_clock.py does not know ' .. name) end
end
local redis = setmetatable({
  call = function(name, ...) return (own_commands[name] or server.call)(name, ...) end,
  pcall = function() error('tests/shared/machine/own_clock.py does not know pcall') end,
}, { __index = server })
"""

_PASS = """\
local gone = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at >= 0 and at < tonumber(ARGV[1]) then
    redis.call('DEL', key)
    gone[#gone + 1] = key
  end
end
return #gone
"""

_CONTENT = """\
local readers = {
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  string = function(key) return redis.call('GET', key) end,
}
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  out[#out + 1] = { key, kind, redis.call('PEXPIRETIME', key), readers[kind](key) }
end
return out
"""


class Clock:
    """Epoch ms of the test, and the end of what it outlives. `admin` may do everything on the server.

    Each call on the store takes a microsecond, as no two of a real server have the same one, and 999 no millisecond.
    """

    def __init__(self, admin: redis.Redis) -> None:
        self.now_ms = START_MS
        self._calls = 0
        self._pass = admin.register_script(_PASS)

    @property
    def now_us(self) -> int:
        return self.now_ms * 1000 + self._calls

    def tick(self) -> int:
        """A call begins. Its moment, in us."""
        self._calls += 1
        assert self._calls < 1000, "too many calls in one millisecond"
        return self.now_us

    def advance(self, ms: int) -> None:
        """Let time pass. A key is gone once the clock is past its last millisecond, as the server has it."""
        self.now_ms += ms
        self._calls = 0
        self._pass(args=(self.now_ms,))


class ClockedStore(JobStore):
    """As a `JobStore`, but by the test's clock; `trace` is a digest of all calls and replies so far."""

    def __init__(self, client: redis.Redis, clock: Clock, trace: Trace) -> None:
        self._client, self._clock, self._trace = client, clock, trace
        self._scripts = {name: client.register_script(text) for name, text in _scripts_under_own_clock().items()}

    def run(self, call: Call[T]) -> T:
        """Raises what the call's own docstring names; errors of the server as they are."""
        reply = self._scripts[call.script](args=(f"{PREFIX}@{self._clock.tick()}", *call.args))
        self._trace.add(call, reply)
        return call.read(reply)


class Trace:
    """What was called and what came back, as one digest: two equal runs have equal ones."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.calls = 0

    def add(self, call: Call[Any], reply: Any) -> None:
        self.calls += 1
        self._hash.update(repr((call.script, call.args, reply)).encode())

    def digest(self) -> str:
        return self._hash.hexdigest()


@cache
def _scripts_under_own_clock() -> dict[str, str]:
    texts = {}
    for name, script in scripts().items():
        flags, text = script.split("\n", 1)
        assert flags.startswith("#!lua")
        texts[name] = f"{flags}\n{_OWN_CLOCK}{text.replace(*_LOG_MOST)}"
    assert _LOG_MOST[0] in scripts()["finish"], "the bound of the log is written in another way now"
    return texts


@dataclass(frozen=True)
class Content:
    """All that the store holds at one moment, by key without the prefix. `ends`: of those with a lifetime, in ms."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    zsets: dict[str, dict[str, int]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    strings: dict[str, str] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def keys(self) -> set[str]:
        return self.hashes.keys() | self.zsets.keys() | self.lists.keys() | self.strings.keys()

    def hash(self, key: str) -> dict[str, str]:
        """The hash, or an empty one where there is none."""
        return self.hashes.get(key, {})

    def zset(self, key: str) -> dict[str, int]:
        """The sorted set in its order, or an empty one."""
        return self.zsets.get(key, {})

    def named(self, family: str) -> set[str]:
        """What stands behind `family:` in the names of keys."""
        return {key.removeprefix(f"{family}:") for key in self.keys() if key.startswith(f"{family}:")}


class Look:
    """Reads the whole content in one call."""

    def __init__(self, admin: redis.Redis) -> None:
        self._content = admin.register_script(_CONTENT)

    def __call__(self) -> Content:
        found = Content()
        for name, kind, ends, held in self._content():
            key = name.decode().removeprefix(PREFIX)
            if ends >= 0:
                found.ends[key] = ends
            if kind == b"string":
                found.strings[key] = held.decode()
                continue
            parts = [part.decode() for part in held]
            if kind == b"hash":
                found.hashes[key] = dict(zip(parts[::2], parts[1::2], strict=True))
            elif kind == b"zset":
                found.zsets[key] = {
                    name: int(float(score)) for name, score in zip(parts[::2], parts[1::2], strict=True)
                }
            else:
                found.lists[key] = parts
        return found
