"""For tests of streaming code, ours and yours: a clock moved by hand, sources that follow a script, a contract check.

    clock = FakeClock()
    source = ScriptedSource("a", Wait(5.0), "b", ConnectionError("reset"), clock=clock)
    async with clock.autojump():          # sleeps cost no real time, whatever their length
        ...

Works on asyncio, uvloop and trio. Knows nothing of `millstream.streams`: what it makes is plain async iterators.
"""

from millstream.testing.clock import FakeClock
from millstream.testing.conformance import assert_stream_conformance
from millstream.testing.sources import HANG, ScriptedSource, Scripts, Wait, chunked, every_cut

__all__ = [
    "HANG",
    "FakeClock",
    "ScriptedSource",
    "Scripts",
    "Wait",
    "assert_stream_conformance",
    "chunked",
    "every_cut",
]
