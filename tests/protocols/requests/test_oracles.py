"""Tests of the tests: a key that is misspelt anywhere in a body does not pass its oracle."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

import millstream as ms
from protocols.requests.oracles import ORACLES

# Below these anything goes; Mistral's SDK has defaults for the others.
OPEN = {"parameters", "input_schema", "json", "parametersJsonSchema", "response"}
DEFAULTED = {"mistral": {("tools", "type"), ("tool_calls", "id"), ("tool_calls", "type"), ("function", "description")}}


def misspelt(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    if isinstance(value, dict):
        for key in value:
            renamed = copy.deepcopy(value)
            renamed[key + "_x"] = renamed.pop(key)
            yield (*path, key), renamed
            if key not in OPEN:
                yield from ((where, value | {key: inner}) for where, inner in misspelt(value[key], (*path, key)))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from ((where, [*value[:at], inner, *value[at + 1 :]]) for where, inner in misspelt(one, path))


@pytest.mark.parametrize("wire", sorted(ORACLES))
def test_a_misspelt_key_is_noticed(wire: str) -> None:
    call, result = ms.messages.ToolCallPart("a", "f"), ms.messages.ToolResultPart("a", "f", "x")
    talk = ["Hi", ms.Message("assistant", call), ms.Message("tool", result)]
    tool = ms.ToolSpec("f", "does f")
    body = ms.request_body(wire, ms.Request(messages=talk, model="m", tools=[tool], max_tokens=4, tool_choice="auto"))
    ORACLES[wire](body)
    unnoticed = []
    for where, wrong in misspelt(body):
        try:
            ORACLES[wire](wrong)
        except Exception:
            continue
        unnoticed.append(where)
    assert {where[-2:] for where in unnoticed} <= DEFAULTED.get(wire, set())
