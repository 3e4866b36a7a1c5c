"""`docs/howto/add_an_operator.md`: its operator, its method and its line of the contract table work as written."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from millstream.streams import Stream
from streams.operators import test_contract as laws
from streams.operators.contract import Case

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add_an_operator.md"


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    operator, method, line = re.findall(r"^ *```python\n(.*?)^ *```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    names: dict[str, Any] = {"__name__": "pairwise", "Case": Case}
    for block in (operator, f"from __future__ import annotations\n{textwrap.dedent(method)}"):
        exec(compile(textwrap.dedent(block), str(PAGE), "exec"), names)
    monkeypatch.setattr(Stream, "pairwise", names["pairwise"], raising=False)
    made = eval(textwrap.dedent(line).strip(), names)
    assert isinstance(made, Case)
    return made


async def test_it_keeps_the_contract(case: Case) -> None:
    for size in (0, 1, 2, 7):
        await laws.test_order_and_nothing_lost(case, size)
    await laws.test_nothing_is_pulled_before_it_is_asked_for(case)
    await laws.test_read_ahead_is_bounded(case)
    await laws.test_the_end_comes_once_and_stays(case)
    for k in (0, 1, 4):
        await laws.test_an_error_comes_unchanged_once_and_after_what_came_before(case, k, ValueError("mine"))
    await laws.test_closing_errors_are_reported_and_hide_nothing(case)
    await laws.test_a_consumer_that_stops_early(case)
    await laws.test_cancellation_at_every_await_of_the_consumer(case, "end")
    await laws.test_close_at_every_await_of_the_consumer(case)
    await laws.test_an_endless_source_that_never_waits_can_be_cancelled(case)
