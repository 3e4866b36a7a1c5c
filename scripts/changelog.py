"""Gather the fragments of docs/changes/ for a release.

`make changelog` shows them, `make changelog VERSION=0.2.0` moves them into CHANGELOG.md.

A fragment is called <issue>.<kind>.md. An entry begins after a blank line, or with the word of its kind ("Added ...").
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("breaking", "deprecated", "added", "changed", "fixed", "performance", "security")
NOTHING = "Nothing yet.\n"


def fragments(folder: Path) -> dict[str, list[Path]]:
    """The fragments of each kind, by the number of their issue. Raises ValueError if one is called otherwise."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.iterdir()):
        name = re.fullmatch(r"(\d+)\.(\w+)\.md", path.name)
        if name is None or name[2] not in found:
            raise ValueError(f"{path}: should be <issue>.<kind>.md, the kind one of {', '.join(KINDS)}")
        found[name[2]].append(path)
    return {kind: sorted(paths, key=lambda path: int(path.name.partition(".")[0])) for kind, paths in found.items()}


def entries(path: Path) -> list[str]:
    word = path.name.split(".")[1].capitalize()
    texts = re.split(rf"\n\s*\n|\n(?={word} )", path.read_text().strip())
    return ["- " + text.strip().replace("\n", "\n  ") for text in texts]


def section(folder: Path) -> str:
    """What changed, as the body of a section of the changelog."""
    parts = []
    for kind, paths in fragments(folder).items():
        if paths:
            parts.append("\n".join([f"### {kind.capitalize()}\n", *(text for path in paths for text in entries(path))]))
    return "\n\n".join(parts) + "\n"


def release(root: Path, version: str, day: str) -> None:
    """Put the section into the changelog, and remove the fragments. Raises ValueError if there are none."""
    changelog, folder = root / "CHANGELOG.md", root / "docs" / "changes"
    text = changelog.read_text()
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version) or f"## {version} " in text:
        raise ValueError(f"{version!r} is no version, or stands in the changelog already")
    body = section(folder)
    if not body.strip():
        raise ValueError("there are no fragments in docs/changes/")
    head, _, rest = text.partition("## Unreleased\n")
    older = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    changelog.write_text(f"{head}## Unreleased\n\n{NOTHING}\n## {version} ({day})\n\n{body}{older}")
    for paths in fragments(folder).values():
        for path in paths:
            path.unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        release(ROOT, sys.argv[1], datetime.now(UTC).date().isoformat())
    else:
        print(section(ROOT / "docs" / "changes"))
