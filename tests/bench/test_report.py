"""The page of results is what was measured, all sections can be found, and a wrong answer fails."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from bench.section import Section, figure, table

from bench import plots, report


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads(report.FOUND.read_text(encoding="utf-8"))


def test_the_page_is_made_of_the_measurements(kept: dict[str, Any]) -> None:
    assert report.RESULTS.read_text(encoding="utf-8") == report.page(kept)


def test_the_plots_are_made_of_the_measurements(kept: dict[str, Any], tmp_path: Path) -> None:
    plots.draw({name: one["data"] for name, one in kept["sections"].items()}, tmp_path)
    committed = report.ROOT / "docs" / "images"
    for path in tmp_path.iterdir():
        assert (committed / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), path.name


def test_every_section_was_measured_and_answered_right(kept: dict[str, Any]) -> None:
    assert kept["sections"].keys() == report.SECTIONS.keys()
    assert [text for one in kept["sections"].values() for text in one["wrong"]] == []


def test_links_of_the_page_lead_to_its_sections(kept: dict[str, Any]) -> None:
    text = report.page(kept)
    headings = {report.anchor(line.removeprefix("## ")) for line in text.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("name", report.SECTIONS)
def test_every_section_can_be_run(name: str) -> None:
    assert callable(import_module(f"bench.{report.SECTIONS[name][0]}").section)


def test_a_target_says_whether_it_is_met() -> None:
    out = Section([])
    out.at_least("a", 10, 9.99)
    out.at_least("b", 10, 10, aim=20)
    out.at_most("c", 0.1, 0.1001, unit="")
    out.at_most("d", 60, 60, unit=" ns")
    assert [(wanted, met) for _, wanted, _, met in out.targets] == [
        (">= 10 x", False),
        (">= 10 x, aim 20", True),
        ("<= 0.1", False),
        ("<= 60 ns", True),
    ]


def test_what_is_not_met_stands_on_the_page(kept: dict[str, Any]) -> None:
    one = {**kept["sections"]["core"], "targets": [("speed", ">= 2 x", "1 x", False)]}
    assert "| core | speed | >= 2 x | 1 x | **not met** |" in report.page({**kept, "sections": {"core": one}})


def test_a_wrong_answer_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads(report.FOUND.read_text(encoding="utf-8"))
    monkeypatch.setattr(report, "FOUND", tmp_path / "results.json")
    monkeypatch.setattr(report, "RESULTS", report.ROOT / "build" / "test_results.md")
    monkeypatch.setattr("bench.plots.draw", lambda *_: None)
    report.RESULTS.parent.mkdir(exist_ok=True)
    for wrong, code in ([], 0), (["text, millstream"], 1):
        monkeypatch.setattr(report, "run", lambda name, wrong=wrong: {**kept["sections"][name], "wrong": wrong})
        monkeypatch.setattr("sys.argv", ["report", "core"])
        assert report.main() == code
    assert "WRONG ANSWER: core: text, millstream" in capsys.readouterr().out
    report.RESULTS.unlink()


def test_sections_of_another_machine_are_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "FOUND", tmp_path / "results.json")
    for machine, n in (report.machine(), 1), ({"machine": "another"}, 0):
        report.FOUND.write_text(json.dumps({"machine": machine, "sections": {"core": {}}}))
        assert len(report.read()["sections"]) == n


def test_figures_have_about_three_digits() -> None:
    assert [figure(x) for x in (0.0704, 1.234, 12.34, 1234.5)] == ["0.070", "1.23", "12.3", "1,234"]


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]], " r") == ["| a | b |", "| --- | ---: |", "| 1 | 2 |"]
