"""What is counted is the right work, and more than 3 % more of it fails."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench.hot import PATHS

from bench import instructions


@pytest.mark.parametrize("name", PATHS)
def test_a_path_does_its_work_again_and_again(name: str) -> None:
    _, n, make = PATHS[name]
    run = make()
    assert [run(), run(), run()] == [n, n, n]


def test_more_than_the_limit_is_bad() -> None:
    was = dict.fromkeys(PATHS, 1000.0)
    _, bad = instructions.compare({"shape-hit": 1030.0, "slow-path": 1031.0, "ndjson": 500.0}, was)
    assert bad == ["slow-path: +3.1% instructions, 3% is the limit"]


def test_a_path_without_a_baseline_is_bad() -> None:
    assert instructions.compare({"shape-hit": 1.0}, {})[1] == ["shape-hit: not in the baseline"]


def test_the_baseline_has_all_paths() -> None:
    kept = json.loads(instructions.BASELINE.read_text())
    assert kept
    for one in kept:
        assert one["counts"].keys() == PATHS.keys()
        assert min(one["counts"].values()) > 10
        assert one["environment"].keys() == instructions.environment().keys()


def counted(monkeypatch: pytest.MonkeyPatch, *counts: dict[str, float], update: bool = False) -> int:
    """Run the command. counts: those of the first layout of the memory, and those of all others."""

    def count_all(names: list[str], layouts: range) -> dict[str, float]:
        found = counts[0] if 0 in layouts else counts[-1]
        return {name: found[name] for name in names}

    words = ["--update"] if update else []
    monkeypatch.setattr(instructions, "count_all", count_all)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr("sys.argv", ["instructions", *words])
    return instructions.main()


def baseline(monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: Any) -> None:
    monkeypatch.setattr(instructions, "BASELINE", folder / "instructions.json")
    kept = [{"environment": instructions.environment() | changes, "counts": dict.fromkeys(PATHS, 100.0)}]
    instructions.BASELINE.write_text(json.dumps(kept))


def test_only_the_same_environment_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    more = dict.fromkeys(PATHS, 104.0)
    baseline(monkeypatch, tmp_path)
    assert counted(monkeypatch, more) == 1
    assert counted(monkeypatch, dict.fromkeys(PATHS, 102.0)) == 0
    baseline(monkeypatch, tmp_path, compiler="1.2.3")
    capsys.readouterr()
    assert counted(monkeypatch, more) == 0
    assert "compiler is" in capsys.readouterr().out


def test_too_much_in_one_layout_of_the_memory_only_is_not_too_much(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    baseline(monkeypatch, tmp_path)
    unlucky = dict.fromkeys(PATHS, 100.0) | {"ndjson": 104.0}
    assert counted(monkeypatch, unlucky, dict.fromkeys(PATHS, 101.0)) == 0
    assert counted(monkeypatch, unlucky, dict.fromkeys(PATHS, 103.1)) == 1


def test_update_writes_the_baseline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    baseline(monkeypatch, tmp_path, libc="another")
    assert counted(monkeypatch, dict.fromkeys(PATHS, 104.0), update=True) == 0
    (one,) = json.loads(instructions.BASELINE.read_text())
    assert one["environment"] == instructions.environment()
    assert counted(monkeypatch, dict.fromkeys(PATHS, 104.0)) == 0


@pytest.mark.timeout(300)  # an interpreter under valgrind, twice
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is missing")
def test_callgrind_counts_the_same_again(tmp_path: Path) -> None:
    client = instructions.build_client(tmp_path)
    first, again = (instructions.count("sse-framing", n, client, folder(tmp_path, n)) for n in (0, 2))
    assert first == pytest.approx(again, rel=0.005)
    assert 100 < first < 10_000


def folder(parent: Path, n: int) -> Path:
    (made := parent / str(n)).mkdir()
    return made
