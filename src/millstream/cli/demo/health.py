"""Act 4, health: how a stream is doing, also while nothing comes."""

from __future__ import annotations

import millstream as ms
from millstream.cli.demo._script import PAUSE_S
from millstream.cli.demo._stage import Stage

__all__ = ["play"]


async def play(stage: Stage) -> None:
    """Stream an answer of an Anthropic-like server that falls silent in the middle; report twice a second."""
    monitor = ms.StreamMonitor(stall_after=stage.every(PAUSE_S / 2))

    def report(health: ms.streams.StreamHealth) -> None:
        stage.view.status(str(health))

    with stage.act("health: a model of Anthropic's kind falls silent for a while") as seen:
        answer = stage.anthropic.stream_text("What is the Internet?")
        async with answer.monitor(monitor, every=stage.every(0.5), on_health=report) as events:
            async for event in events:
                seen(event)
        health = monitor.health()
        first, gap = health.time_to_first_event or 0.0, health.gap_p99 or 0.0
        stage.view.status(f"{health}; first event after {first * 1000:.0f} ms, 99 % of the gaps below {gap:.2f} s")
