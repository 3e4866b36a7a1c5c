"""The how-tos: each Python block prints what its comments say; the JavaScript reader rebuilds objects over HTTP."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import millstream as ms
from objects.replay import pieces
from server.serving import serving
from streams.probe import Probe

OVER_HTTP = pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvicorn knows no trio
HOWTO = Path(__file__).parents[2] / "docs" / "howto"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (HOWTO / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("structured_output.md", "python"))
def test_each_block_prints_what_it_says(block: str) -> None:
    promised = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    assert promised
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "structured_output.md", "exec", dont_inherit=True), {"__name__": "howto"})
    assert out.getvalue().splitlines() == promised


DRIVER = """
import { readObject } from "./reader.mjs";
const seen = [];
try {
  const object = await readObject(process.argv[2], (part) => seen.push(JSON.stringify(part)));
  const polluted = {}.admin !== undefined || [].admin !== undefined || "admin" in Object.prototype;
  console.log(JSON.stringify({ object, steps: new Set(seen).size, polluted, keys: Object.keys(object ?? {}) }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, last: seen.at(-1) ?? null, polluted: "admin" in {} }));
}
"""


def node() -> str:
    found = shutil.which("node")
    if found is None:
        if os.environ.get("MILLSTREAM_REQUIRE_NODE") == "1":
            pytest.fail("node is missing (MILLSTREAM_REQUIRE_NODE=1)")
        pytest.skip("node is missing")
    return found


async def read(source: Any, tmp_path: Path, type: Any = Any) -> dict[str, Any]:
    """What the documented reader makes of what the documented server sends."""
    [server], [reader] = blocks("object_deltas.md", "python"), blocks("object_deltas.md", "js")
    scope: dict[str, Any] = {}
    exec(compile(server, "object_deltas.md", "exec", dont_inherit=True), scope)
    (tmp_path / "reader.mjs").write_text(reader)
    (tmp_path / "driver.mjs").write_text(DRIVER)
    run = partial(subprocess.run, capture_output=True, text=True, timeout=40, check=False)
    async with serving(scope["respond"](source, type)) as url:
        done = await anyio.to_thread.run_sync(run, [node(), str(tmp_path / "driver.mjs"), url])
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def events(text: str, n: int = 3) -> Probe:
    finish = ms.Finish(ms.FinishReason.STOP)
    return Probe([ms.Start(), *map(ms.TextDelta, pieces(text, n)), ms.Usage(output_tokens=1), finish])


def test_the_reader_has_about_twenty_lines() -> None:
    [reader] = blocks("object_deltas.md", "js")
    assert len(reader.splitlines()) <= 20


@OVER_HTTP
@pytest.mark.anyio
@pytest.mark.parametrize(
    "value",
    [
        {"title": "Grüße 😀\n\"x\"", "items": [{"a": None}, {"b": [1.5, True, [], {}]}], "": {"data:": "\u2028"}},
        {"__proto__": {"admin": True}, "constructor": {"prototype": {"admin": 1}}, "toString": "x", "hasOwn": [1]},
        [["__proto__"], {"__proto__": "grows and grows", "length": 3}],
        "a string at the root",
        12,
        None,
    ],
    ids=repr,
)  # fmt: skip
async def test_the_reader_rebuilds_the_object(value: Any, tmp_path: Path) -> None:
    answer = await read(events(json.dumps(value, ensure_ascii=False)), tmp_path)
    assert answer["object"] == value
    assert answer["polluted"] is False
    if isinstance(value, dict):
        assert answer["keys"] == list(value)
        assert answer["steps"] > 5


@OVER_HTTP
@pytest.mark.anyio
async def test_the_reader_throws_what_went_wrong(tmp_path: Path) -> None:
    answer = await read(Probe([ms.TextDelta('{"a":[1,"x')], error=ms.ConnectionFailed("upstream has gone")), tmp_path)
    assert answer == {"error": "upstream has gone", "last": '{"a":[1,"x"]}', "polluted": False}
    answer = await read(events('{"a":1'), tmp_path)
    assert "ended at byte 6" in answer["error"]
    answer = await read(events('{"a":1]'), tmp_path)
    assert "expected ','" in answer["error"]


@OVER_HTTP
@pytest.mark.anyio
@pytest.mark.parametrize(
    "deltas",
    [
        [ms.ObjectDelta((), "set", {}), ms.ObjectDelta(("__proto__", "admin"), "set", True)],
        [ms.ObjectDelta((), "set", []), ms.ObjectDelta(("constructor", "prototype", "admin"), "set", True)],
        [ms.ObjectDelta(("x",), "set", 1)],
        [ms.ObjectDelta((), "set", {}), ms.ObjectDelta(("toString",), "append", "x")],
    ],
    ids=repr,
)
async def test_the_reader_steps_only_where_something_was_set(deltas: list[Any], tmp_path: Path) -> None:
    """Not what millstream sends, but what another server might."""
    answer = await read(Probe([*deltas, ms.Finish(ms.FinishReason.STOP)]), tmp_path)
    assert answer["polluted"] is False
    assert answer["error"]
