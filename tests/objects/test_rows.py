"""Row 7 of REQUIREMENTS.md. All else about `ObjectStream` is in the other files."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anyio import fail_after

import millstream as ms
from streams.probe import Probe

pytestmark = pytest.mark.anyio


async def test_r0007_the_object_grows_before_the_rest_arrives() -> None:
    """`{"a":1,"b":[2` shows all but the 2, which may become 25 (DESIGN.md, 5: numbers are atomic); a comma shows it."""
    source = Probe([ms.TextDelta('{"a":1,"b":[2'), ms.TextDelta(",")], hang=True)
    seen: list[Any] = []
    with fail_after(5):
        async with ms.ObjectStream(source, dict[str, Any]) as objects:
            async for partial in objects.partials():
                seen.append(copy.deepcopy(partial))
                if len(seen) == 2:
                    break
    assert seen == [{"a": 1, "b": []}, {"a": 1, "b": [2]}]
    assert source.closes == 1
