"""When a run of several steps ends: conditions, looked at after each step, joined with `|` and `&`.

A run ends anyway when the model calls no tool. A condition is any function, sync or async, of a `RunState`; the ones
here have a name that `Finish.meta["stopped_by"]` tells. Adding one is one function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

from millstream.tools._state import RunState, counted

__all__ = [
    "StopCondition",
    "StopWhen",
    "all_of",
    "any_of",
    "custom",
    "max_steps",
    "max_tokens",
    "text_length",
    "tool_seen",
]

HARD_CAP = 100
"""Steps of one run, whatever its condition: a model that never stops calling tools must not cost for ever (as gai)."""

StopWhen: TypeAlias = Callable[[RunState], bool | Awaitable[bool]]
"""Whatever decides: true ends the run."""


class StopCondition:
    """A condition with a name, of a function `check`. `a | b` ends the run if either holds, `a & b` if both do.

    Either side may be any function of the `RunState`.
    """

    def __init__(self, name: str, check: StopWhen) -> None:
        self.name = name
        self._check = check

    def __call__(self, run: RunState) -> bool | Awaitable[bool]:
        """Whether the run ends here."""
        return self._check(run)

    def __repr__(self) -> str:
        return self.name

    def __or__(self, other: StopWhen) -> StopCondition:
        return any_of(self, other)

    def __ror__(self, other: StopWhen) -> StopCondition:
        return any_of(other, self)

    def __and__(self, other: StopWhen) -> StopCondition:
        return all_of(self, other)

    def __rand__(self, other: StopWhen) -> StopCondition:
        return all_of(other, self)


def max_steps(n: int) -> StopCondition:
    """End after `n` model calls, from 1 to 100; the tools that the last one asked for are still run.

    Raises: ValueError: another number.
    """
    if not 1 <= n <= HARD_CAP:
        raise ValueError(f"max_steps is from 1 to {HARD_CAP}, not {n!r}")
    return StopCondition(f"max_steps({n})", lambda run: len(run.steps) >= n)


def tool_seen(name: str) -> StopCondition:
    """End after the step in which the tool `name` gave a result. An error is none: the model may try again."""
    return StopCondition(f"tool_seen({name!r})", lambda run: name in run.tools)


def text_length(n: int) -> StopCondition:
    """End when the answer, over all steps, has `n` characters or more."""
    return StopCondition(f"text_length({n})", lambda run: len(run.text) >= n)


def max_tokens(n: int) -> StopCondition:
    """End when the steps have cost `n` tokens or more, requests and answers together, as far as the provider tells."""
    return StopCondition(f"max_tokens({n})", lambda run: _tokens(run) >= n)


def custom(check: StopWhen, name: str = "") -> StopCondition:
    """Give any function a name, and make it joinable with `|` and `&`.

    Args:
        check: called with the `RunState` after each step, sync or async; true ends the run.
        name: to be shown; by default that of the function.
    Raises: TypeError: what is no function.
    """
    refuse_no_condition(check)
    return StopCondition(name or _named(check), check)


def refuse_no_condition(given: Any) -> None:
    """Raise TypeError for what cannot be asked, such as a number of steps."""
    if not callable(given):
        raise TypeError(f"stop_when is a function of the run, such as max_steps(5), not {given!r}")


def any_of(*conditions: StopWhen) -> StopCondition:
    """End if one of the conditions holds. They are asked in order, up to the first that does. Of none: never."""
    return _joined(conditions, " | ", decided_by=True)


def all_of(*conditions: StopWhen) -> StopCondition:
    """End if all conditions hold. They are asked in order, up to the first that does not.

    Raises: ValueError: there are none. TypeError: one is no function.
    """
    if not conditions:
        raise ValueError("all_of needs a condition; of none, all would hold at once")
    return _joined(conditions, " & ", decided_by=False)


def _joined(conditions: tuple[StopWhen, ...], word: str, *, decided_by: bool) -> StopCondition:
    for condition in conditions:
        refuse_no_condition(condition)

    async def rest(run: RunState, waiting: Awaitable[bool], others: tuple[StopWhen, ...]) -> bool:
        if bool(await waiting) is decided_by:
            return decided_by
        answer = check(run, others)
        return await answer if isawaitable(answer) else answer

    def check(run: RunState, some: tuple[StopWhen, ...] = conditions) -> bool | Awaitable[bool]:
        for i, condition in enumerate(some):
            holds = condition(run)
            if isawaitable(holds):
                return rest(run, holds, some[i + 1 :])
            if bool(holds) is decided_by:
                return decided_by
        return not decided_by

    names = [f"({name})" if " " in (name := _named(one)) else name for one in conditions]
    return StopCondition(word.join(names) or "never", check)


def _named(condition: StopWhen) -> str:
    return repr(condition) if isinstance(condition, StopCondition) else getattr(condition, "__name__", repr(condition))


def _tokens(run: RunState) -> int:
    usage = run.usage
    return 0 if usage is None else counted(usage) or 0
