"""core/_shape.pyx: what a protocol declares. That hits are right: tests/protocols."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from millstream.core import Shapes


def test_declarations() -> None:
    shapes = Shapes(payload=("a.0.b",), ignored=["c"], latest=("u.**",), meta=("m",))
    assert shapes.declared() == {
        "payload": ("a.0.b",),
        "ignored": ("c",),
        "seldom": (),
        "latest": ("u.**",),
        "meta": ("m",),
    }
    with pytest.raises(ValueError, match="at most 32 paths"):
        Shapes(payload=[str(n) for n in range(33)])
    with pytest.raises(TypeError):
        pickle.dumps(shapes)


def test_the_page_says_what_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "topics" / "shapes.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert f"decoder.stats                                  # {names['decoder'].stats}\n" in blocks[0]
