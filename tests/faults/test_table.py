"""All 92 faults have a test or a reason; `docs/reference/faults.md` says which. MILLSTREAM_REGEN=1 writes it."""

from __future__ import annotations

import ast
import functools
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from conftest import ROOT, shared_dir
from faults.table import ELSEWHERE, NOT_HERE, SHORT_OF, faults, faults_of

TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "reference" / "faults.md"

HEAD = """# The 92 faults

What may go wrong around a stream, what has to come of it, and the test that does it. Generated from the names of the
tests and from `tests/faults/table.py`; `MILLSTREAM_REGEN=1 make test ARGS=tests/faults/test_table.py` writes it anew.

`make faults` runs them, `MILLSTREAM_LONG=1 make faults` at every byte. Around each test with an event loop the
invariants of `tests/faults/invariants.py` are asserted: what came is a prefix of the truth; one outcome; in time;
tasks, timers, threads, sockets and connections as before within a second; bounded memory; no step of the loop over
20 ms of processor time (ten times as long for each in `make test`, beside which other programs may run); no secret and
no payload in the log; no orphaned exception. Network faults come from
`tests/faults/proxy.py`, between the client and the replay server or Redis. The
[threat model](../topics/threat_model.md) says what this is for.

| | fault, and what has to come of it | proved by |
|---|---|---|
"""


@functools.cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def proofs() -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted((TESTS / "faults").glob("test_*.py")):
        for name in sorted(functions(path)):
            for number in faults_of(name):
                found[number].append(f"faults/{path.name}::{name}")
    for number, names in ELSEWHERE.items():
        found[number] += names
    return found


def page() -> str:
    found = proofs()
    lines, chapter = [], ""
    for number, (its_chapter, said) in faults().items():
        if its_chapter != chapter:
            chapter = its_chapter
            lines.append(f"| | **{chapter}** | |\n")
        proof = "<br>".join(f"`{name}`" for name in found.get(number, ()))
        notes = [text for text in (NOT_HERE.get(number, ""), SHORT_OF.get(number, "")) if text]
        proof = "<br>".join(part for part in (proof, *notes) if part)
        lines.append(f"| {number} | {said.replace('|', chr(92) + '|')} | {proof} |\n")
    return HEAD + "".join(lines)


def test_every_fault_has_a_test_or_a_reason() -> None:
    assert sorted(faults()) == list(range(1, 93))
    found = proofs()
    assert sorted(faults().keys() - found.keys() - NOT_HERE.keys()) == []
    assert sorted(NOT_HERE.keys() & found.keys()) == [], "it has a test: take the reason away"
    assert sorted((found.keys() | NOT_HERE.keys() | SHORT_OF.keys()) - faults().keys()) == []


@pytest.mark.parametrize("name", sorted({name for names in ELSEWHERE.values() for name in names}))
def test_the_tests_elsewhere_are_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert function in functions(TESTS / file)


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: MILLSTREAM_REGEN=1 writes it anew"


def test_the_faults_are_those_of_the_list() -> None:
    text = (shared_dir() / "docs" / "THREATS_AND_FAULTS.md").read_text(encoding="utf-8")
    text = text[text.index("## 6.") : text.index("## 7.")]
    wanted = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    assert {str(number): said for number, (_, said) in faults().items()} == wanted


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("test_fault_01_x", [1]), ("test_fault_05_62_x", [5, 62]), ("test_fault_1_x", []), ("fault_01", [])],
)
def test_faults_of(name: str, numbers: list[int]) -> None:
    assert faults_of(name) == numbers
