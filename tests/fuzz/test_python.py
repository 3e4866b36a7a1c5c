"""The Python fuzz targets over their corpora, without a fuzzer; and that they can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import building, targets

CASES = [
    pytest.param(name, path, id=f"{name}-{path.parent.name}-{path.name}")
    for name, corpora in building.PY_TARGETS.items()
    for each in corpora
    for path in sorted((building.CORPUS / each).iterdir())
]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_corpus(name: str, path: Path) -> None:
    data = building.decoder_input(path) if path.parent.name == "decoders" else path.read_bytes()
    targets.TARGETS[name](data)


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert set(building.PY_TARGETS) == set(targets.TARGETS)
    used = {each for corpora in (building.C_TARGETS | building.PY_TARGETS).values() for each in corpora}
    assert used == {path.name for path in building.CORPUS.iterdir()}
    assert {path.name.split("~")[0] for path in (building.CORPUS / "decoders").iterdir()} == set(targets.APIS)


@pytest.mark.parametrize(
    ("name", "path", "instead"),
    [
        ("sse", "sse/standard", {"SSEParser": lambda **_: targets.NDJSONParser(decode=False)}),
        ("ndjson", "ndjson/values", {"_bad": lambda value: [value]}),
        ("json", "json/tool_call", {"repr": lambda _: object()}),
        ("partial", "json/tool_call", {"parse_partial_json": lambda data, **_: None}),
        ("decoders", "decoders/openai-chat~text", {"wire": lambda events: [object()]}),
        ("shapes", "decoders/openai-chat~text", {"_decoded": lambda api, chunks, shapes, rules=True: (shapes, rules)}),
    ],
)
def test_a_wrong_answer_is_found(
    name: str, path: str, instead: dict[str, Callable[..., object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for attribute, fake in instead.items():
        monkeypatch.setattr(targets, attribute, fake, raising=False)
    with pytest.raises((AssertionError, AttributeError)):
        targets.TARGETS[name]((building.CORPUS / path).read_bytes())
