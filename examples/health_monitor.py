"""Health: how a stream is doing, reported regularly, also when nothing comes."""

import os

import anyio

import millstream as ms


def report(health: ms.streams.StreamHealth) -> None:
    if health.is_stalled:
        print(f"stalled: nothing for {health.time_since_last_event:.1f} s")
    else:
        print(health)


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    monitor = ms.StreamMonitor(stall_after=30)
    events = model.stream_text("Write a long story.").monitor(monitor, every=0.5, on_health=report)
    async with events:
        text = await events.text()
    health = monitor.health()
    print(f"{len(text)} characters in {health.events} events, {health.error_rate:.0%} errors")
    if health.time_to_first_event is not None and health.gap_p99 is not None:
        print(f"first after {health.time_to_first_event:.2f} s, 99 % of the gaps below {health.gap_p99:.3f} s")


anyio.run(main)
