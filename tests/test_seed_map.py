"""`docs/reference/seed_map.md` is made from the names of the tests: `test_r0191_...` proves row 191 of the seeds.

MILLSTREAM_REGEN=1 writes the page anew, and takes rows that have a test now out of `seed_missing.txt`. That list only
shrinks: a row that loses its last test fails here. `seed_rows.tsv` has the rows (number, chapter, requirement) as the
two seed documents demand them; 303 to 309 speak of the project and have no page.
"""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from conftest import shared_dir

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "reference" / "seed_map.md"
MISSING = TESTS / "seed_missing.txt"

REQUIRED = {*range(1, 303)}

HEAD = """# The seeds, row by row

Generated from the names of the tests; `MILLSTREAM_REGEN=1 make test ARGS=tests/test_seed_map.py` writes it anew.
The two seed documents were read as numbered requirements. A test whose name carries the number proves the row.

| row | requirement | where | test |
|---|---|---|---|
"""


def rows() -> dict[int, tuple[str, str]]:
    """Number -> (chapter, requirement)."""
    table = {}
    for line in (TESTS / "seed_rows.tsv").read_text(encoding="utf-8").splitlines():
        number, chapter, requirement = line.split("\t")
        table[int(number)] = (chapter, requirement)
    return table


def proofs() -> dict[int, list[tuple[str, str]]]:
    """Row -> (file of the test, its name). One name may carry several rows: `test_r0191_r0192_...`."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for number in row_numbers(node.name):
                    found[number].append((path.relative_to(ROOT).as_posix(), node.name))
    return found


def row_numbers(name: str) -> list[int]:
    match = re.match(r"test((?:_r\d{4})+)_", name)
    return [int(number) for number in match[1].split("_r")[1:]] if match else []


def source_of(test: str) -> str:
    """The file that a test mirrors, if it mirrors one."""
    folder, _, name = test.removeprefix("tests/").rpartition("/")
    for mirrored in (Path(folder, name.removeprefix("test_")), Path(folder, name[5:-3]), Path(folder, "_" + name[5:])):
        if (ROOT / "src" / "millstream" / mirrored).exists():
            return f"`{mirrored.as_posix()}`"
    return f"`{folder}`" if folder else ""


def page(found: dict[int, list[tuple[str, str]]]) -> str:
    lines, chapter = [], ""
    for number, (its_chapter, requirement) in rows().items():
        if number not in found and number not in REQUIRED:
            continue
        if its_chapter != chapter:
            chapter = its_chapter
            lines.append(f"| | **{chapter}** | | |\n")
        tests = found.get(number, [])
        where = ", ".join(dict.fromkeys(source_of(test) for test, _ in tests))
        names = "<br>".join(f"`{test.removeprefix('tests/')}::{name}`" for test, name in tests) or "none yet"
        lines.append(f"| {number} | {requirement.replace('|', chr(92) + '|')} | {where} | {names} |\n")
    return HEAD + "".join(lines)


def missing() -> set[int]:
    return {int(word) for word in MISSING.read_text().split() if word.isdigit()}


def test_the_page_and_the_list_of_missing_rows_are_up_to_date() -> None:
    found = proofs()
    without = REQUIRED - found.keys()
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        PAGE.write_text(page(found), encoding="utf-8")
        MISSING.write_text("".join(f"{number}\n" for number in sorted(missing() & without)))
    assert sorted(without - missing()) == [], "these rows have lost their test"
    assert sorted(missing() - without) == [], "these rows have a test now: MILLSTREAM_REGEN=1 takes them off the list"
    assert PAGE.read_text(encoding="utf-8") == page(found), "stale: MILLSTREAM_REGEN=1 writes it anew"


def test_no_test_claims_a_row_that_is_not_there() -> None:
    assert sorted(proofs().keys() - rows().keys()) == []


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("test_r0191_x", [191]), ("test_r0001_r0302_x", [1, 302]), ("test_r191_x", []), ("test_x_r0191_x", [])],
)
def test_row_numbers(name: str, numbers: list[int]) -> None:
    assert row_numbers(name) == numbers


def test_the_rows_are_those_of_the_requirements() -> None:
    text = (shared_dir() / "docs" / "REQUIREMENTS.md").read_text(encoding="utf-8")
    wanted = {int(number): cell for number, cell in re.findall(r"^\| (\d+) \| (.*?)(?<!\\) \| ", text, re.MULTILINE)}
    table = {number: requirement.replace("|", "\\|") for number, (_, requirement) in rows().items()}
    assert table == {number: wanted[number].strip() for number in table}
    assert list(table) == list(range(1, 303))
