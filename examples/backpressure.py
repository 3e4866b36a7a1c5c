"""Backpressure: a slow consumer slows down the model's connection; memory stays bounded and nothing is lost."""

import os

import anyio

import millstream as ms

pauses: list[float] = []


def on_backpressure(waiting: int, seconds: float) -> None:
    """Hear when the source has to wait (seconds is 0), and how long it had waited."""
    if seconds:
        pauses.append(seconds)


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    events = model.stream_text("Write a long story.").buffer(10, on_backpressure=on_backpressure)
    handled = 0
    async with events.throttle(50, per=1.0) as slowly:  # at most 50 events a second
        async for _event in slowly:
            handled += 1
    print(f"{handled} events handled, {events.dropped} dropped, never more than {events.capacity} waiting")
    print(f"the source was held back {len(pauses)} times, {sum(pauses):.1f} s in all")


anyio.run(main)
