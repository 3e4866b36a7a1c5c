"""`docs/topics/threat_model.md` has every threat of the list, and each of its tests and files is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from conftest import ROOT, shared_dir

PAGE = ROOT / "docs" / "topics" / "threat_model.md"
SRC = ROOT / "src" / "millstream"
ROWS = re.findall(r"^\| ([A-Z]\d+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_threat_of_the_list_is_there_once() -> None:
    text = (shared_dir() / "docs" / "THREATS_AND_FAULTS.md").read_text(encoding="utf-8")
    text = text[text.index("## 3.") : text.index("## 4.")]
    assert [name for name, _ in ROWS] == re.findall(r"^\| ([A-Z]\d+) \|", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_its_tests_and_files_are_there(name: str, row: str) -> None:
    cells = row.split(" | ")
    assert len(cells) == 4
    tests = re.findall(r"`([a-z_/0-9]+\.py)::(test_\w+)`", cells[-1])
    assert tests, "each row names a test"
    for file, function in tests:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in names, f"{file} has no {function}"
    files = re.findall(r"`([^`]+)`", cells[-2])
    assert files
    assert [file for file in files if not (SRC / file).exists()] == []


def test_no_statement_vanishes_under_optimisation() -> None:
    """E10: with -O there are no asserts (CVE-2025-69227 was a loop that one of them ended). What there is only tells
    the type checker what was made sure of before, and is marked for the linter, which refuses all others."""
    found = []
    for path in [*SRC.rglob("*.py"), *SRC.rglob("*.pyx")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{path.name}: {line}" for line in lines if re.match(r"\s*assert\b(?!.*# noqa: S101)", line)]
    assert found == []


def test_no_code_of_others_is_copied() -> None:
    """X4."""
    headers = sorted(path.name for path in (ROOT / "csrc").iterdir())
    assert [name for name in headers if not re.fullmatch(r"ms_[a-z0-9_]+\.h", name)] == []


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="an sdist has no workflows")
def test_no_workflow_runs_words_of_strangers() -> None:
    """X5: titles, bodies, comments and branch names are written by anybody."""
    words = re.compile(
        r"github\.event\.(issue|comment|review|discussion|pull_request\.(title|body|head))|github\.head_ref"
    )
    workflows: list[Path] = sorted((ROOT / ".github").rglob("*.y*ml"))
    assert workflows
    assert [path.name for path in workflows if words.search(path.read_text(encoding="utf-8"))] == []
