"""A multi-step workflow: the model calls one tool after another until the email is sent, as one stream."""

import os

import anyio

import millstream as ms


def web_search(query: str) -> list[str]:
    """Search the web."""
    return [f"{query}: 184 bn in 2024", f"{query}: 244 bn in 2025", f"{query}: 312 bn in 2026"]


def analyze_data(numbers: list[float]) -> dict[str, float]:
    """Compute the growth from the first number to the last, in percent."""
    return {"growth": round(100 * (numbers[-1] / numbers[0] - 1), 1)}


def write_report(title: str, summary: str) -> str:
    """Write a report, and return its file name."""
    return title.lower().replace(" ", "-") + ".pdf"


def send_email(to: str, subject: str) -> str:
    """Send an email."""
    return f"sent to {to}"


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    run = model.stream_text(
        "Research AI market trends, analyze the numbers, write a report, and email it to team@example.com.",
        system="You are a research assistant. Go step by step.",
        tools=[web_search, analyze_data, write_report, send_email],
        stop_when=ms.max_steps(15) | ms.tool_seen("send_email"),
    )
    async with run as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    print(text, end="", flush=True)
                case ms.StepStart(step=step):
                    print(f"step {step}")
                case ms.ToolResult(name=name, result=result, error=error):
                    print(f"  {name}: {error or result}")
                case ms.StepFinish(duration=seconds):
                    print(f"  took {seconds:.1f} s")
                case ms.Finish(steps=steps, meta=told):
                    print(f"{steps} steps in {told['duration']:.1f} s with {told['tools']}; end: {told['stopped_by']}")


anyio.run(main)
