"""Error recovery: try again what may pass, also when an answer breaks off; keep what had come when nothing helps."""

import os

import anyio

import millstream as ms

PROMPT = "Write a comprehensive report on trends of cloud computing."


def on_retry(attempt: int, error: Exception, delay: float) -> None:
    print(f"[attempt {attempt}: {type(error).__name__}; the next one in {delay:g} s]")


async def main() -> None:
    # A provider tries again by itself until the first word has come. Here, attempts that break off later count too.
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"), retry=None)
    policy = ms.RetryPolicy(max_attempts=3, on_retry=on_retry)

    def ask() -> ms.Stream[ms.Event]:
        return model.stream_text(PROMPT, max_tokens=1000)

    report: list[str] = []
    try:
        async with ask().retry(ask, policy, replay="restart").timeout(total=300) as events:
            async for event in events:
                match event:
                    case ms.Data(name=ms.streams.RESTART):
                        report.clear()
                    case ms.TextDelta(text=text):
                        report.append(text)
    except ms.RetriesExhausted as error:
        print(f"[{error.attempts} attempts failed, the last one with: {error.last}]")
    except ms.StreamError as error:  # a wrong key, a prompt that is refused, ...: the same again would not help
        print(f"[failed for good: {error}]")
    print("".join(report))


anyio.run(main)
