"""The fragments of docs/changes/ are well made, and `scripts/changelog.py` gathers them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import changelog  # noqa: E402

sys.path.pop(0)


def test_every_fragment_has_an_issue_a_kind_and_something_to_say() -> None:
    for paths in changelog.fragments(ROOT / "docs" / "changes").values():
        for path in paths:
            assert all(len(entry) > 20 for entry in changelog.entries(path)), path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "docs" / "changes"
    folder.mkdir(parents=True)
    (folder / "10.added.md").write_text("Added a thing\nof two lines.\nAdded another.\n")
    (folder / "9.added.md").write_text("Added the first.\n")
    (folder / "9.fixed.md").write_text("One.\n\nTwo.\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\nsee\n\n## 0.1.0 (2026-01-01)\n\n- x\n")
    return tmp_path


def test_a_release_takes_the_fragments_by_kind_and_issue(tree: Path) -> None:
    changelog.release(tree, "0.2.0", "2026-11-21")
    assert (tree / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n## Unreleased\n\nNothing yet.\n\n## 0.2.0 (2026-11-21)\n\n"
        "### Added\n\n- Added the first.\n- Added a thing\n  of two lines.\n- Added another.\n\n"
        "### Fixed\n\n- One.\n- Two.\n\n## 0.1.0 (2026-01-01)\n\n- x\n"
    )
    assert list((tree / "docs" / "changes").iterdir()) == []


@pytest.mark.parametrize("version", ["0.1.0", "next", "1.0"])
def test_no_version_and_an_old_one_are_refused(tree: Path, version: str) -> None:
    before = (tree / "CHANGELOG.md").read_text()
    with pytest.raises(ValueError, match="no version"):
        changelog.release(tree, version, "2026-11-21")
    assert (tree / "CHANGELOG.md").read_text() == before


def test_a_fragment_of_an_unknown_kind_is_refused(tree: Path) -> None:
    (tree / "docs" / "changes" / "9.nice.md").write_text("x")
    with pytest.raises(ValueError, match=r"9\.nice\.md"):
        changelog.section(tree / "docs" / "changes")


def test_without_fragments_there_is_nothing_to_release(tree: Path) -> None:
    for path in (tree / "docs" / "changes").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="no fragments"):
        changelog.release(tree, "0.2.0", "2026-11-21")
