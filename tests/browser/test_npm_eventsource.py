"""The npm package `eventsource` on node reads the service of examples/answers, cut off again and again."""

from __future__ import annotations

import pytest

from browser.test_event_source import TEXT
from protocols.encoders.npm_clients import node, require_node
from server.processes import site


@pytest.mark.parametrize("cut_after", [1800, 2500])
def test_it_resumes_and_loses_nothing(cut_after: int) -> None:
    require_node()
    with site("browser.cutting:app", CUT_AFTER=str(cut_after)) as url:
        (result,) = node("event_source.mjs", url)
    assert result["text"] == TEXT
    assert result["connections"] > 3
    assert len(set(result["ids"])) == len(result["ids"]) == 123
