"""The Python blocks of the topics run as they stand there, with what they take as given; commented values are right.

An async function that takes nothing but what is given is called as well. Whole programs: `tests/docs/test_events.py`.
"""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path
from typing import Any

import anyio
import pytest

import millstream as ms

TOPICS = Path(__file__).parent.parent / "docs" / "topics"
REDIS = 'ms.relay.RedisLog("redis://localhost")'  # the page offers MemoryLog beside it; Redis itself: tests/relay
BLOCKS = [
    (f"{page.name}:{i + 1}", block)
    for page in sorted(TOPICS.glob("*.md"))
    for i, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
    if "anyio.run(" not in block
]


async def body():
    yield b'event: message_start\ndata: {"type":"message_start","message":{"id":"1","model":"m","usage":{}}}\n\n'
    yield b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


async def words():
    for text in ("a", "b", "c"):
        yield ms.TextDelta(text)


async def drain(stream: ms.Stream[ms.Event]) -> None:
    assert await stream.text() == "abc"


def given() -> dict[str, Any]:
    return {
        "anyio": anyio,
        "ms": ms,
        "response": body(),
        "events": ms.Stream(words()),
        "show": drain,
        "store": drain,
        "may_read": lambda scope, stream_id: scope == "mine",
        "request": "mine",
        "last_event_id": None,
        "model": types.SimpleNamespace(stream_text=lambda prompt: ms.Stream(words())),
    }


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
async def test_the_block_runs(name: str, block: str) -> None:
    names = given()
    for node in ast.parse(block).body:
        lines = block.splitlines()[node.lineno - 1 : node.end_lineno]
        said = re.search(r"  # ([\[{'].*)$", lines[-1])
        if said and isinstance(node, ast.Expr):
            assert repr(eval(ast.unparse(node.value), names)) == said[1]
        else:
            source = "\n".join(lines).replace(REDIS, "ms.relay.MemoryLog()")
            code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if (result := eval(code, names)) is not None:
                await result
            if isinstance(node, ast.AsyncFunctionDef):
                await names[node.name](**{one.arg: names[one.arg] for one in node.args.args})
    for name in ("events", "response"):
        await names[name].aclose()
