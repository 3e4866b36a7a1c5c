"""All code blocks of README and docs: Python is run by a test; what shell blocks call is there.

Each page has a test of its own for its Python, because each needs another server or model. Here no page is forgotten,
and all blocks are searched for names that millstream does not have.
"""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import millstream as ms
from millstream.cli._arguments import make_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    if "changes" not in page.parts
)
COMMANDS = {
    *[".", "cat", "cd", "curl", "docker", "echo", "export", "git", "grep", "head", "jq", "pip", "python", "python3"],
    *["redis-server", "sudo", "tail", "uv", "uvicorn"],
}


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(rf"^( *)```(?:{'|'.join(languages)})\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(body) for _, body in found]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(page: Path) -> Iterator[list[str]]:
    """What the page tells its reader to type, as words: lines with a prompt, or all lines of a block without any."""
    for block in blocks(page, "console", "sh", "bash", "shell"):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        for line in prompted or lines:
            for part in re.split(r" && | \| ", re.sub(r"\s#\s.*", "", line)):
                words = shlex.split(part, comments=True)
                while words and re.match(r"[A-Z_]+=", words[0]):  # variables for that command
                    words.pop(0)
                if words:
                    yield words


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_the_python_of_each_page_is_run_by_a_test(page: Path) -> None:
    """By one that names the page, or that takes all pages of its folder."""
    runners = []
    for test in (ROOT / "tests").rglob("test_*.py"):
        text = test.read_text()
        folder = f'"{page.parent.name}"' in text and 'glob("*.md")' in text
        if test != Path(__file__) and (page.name in text or folder) and re.search(r"exec\(|eval\(|subprocess", text):
            runners.append(test)
    assert runners


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_the_blocks_name_only_what_millstream_has(page: Path) -> None:
    missing = []
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and re.match(r"ms\.\w+(\.\w+)?$", path := ast.unparse(node)):
                missing += [] if is_there(path) else [path]
    assert missing == []


def is_there(path: str) -> bool:
    """Whether `ms.name` or `ms.room.name` is; an annotation of a class (`Limits.max_line_bytes`) counts."""
    _, first, *rest = path.split(".")
    thing = getattr(ms, first, None)
    return thing is not None and all(hasattr(thing, name) or name in vars(thing) for name in rest)


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=name)
def test_the_commands_are_there(page: Path) -> None:
    for words in commands(page):
        assert problem(words) is None, " ".join(words)


def problem(words: list[str]) -> str | None:
    program, *arguments = words
    plain = [word for word in arguments if not word.startswith("-") and "=" not in word]
    if program == "make":
        targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return next((f"no target {word}" for word in plain if word not in targets), None)
    if program == "millstream" or program.endswith("/millstream"):
        known = next(iter(make_parser()._subparsers._group_actions)).choices  # type: ignore[union-attr]
        return None if plain[0] in known else f"no command {plain[0]}"
    if program in {"pip", "uv"} or program.endswith("/pip") or "pip" in arguments:
        extras = {e for word in arguments for e in re.findall(r"(?:millstream|\.)\[([\w,]+)\]", word)}
        there = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        return next((f"no extra {e}" for group in extras for e in group.split(",") if e not in there), None)
    if program.startswith(".venv/bin/"):
        scripts = [word for word in plain if word.endswith(".py") and "/" in word]
        return next((f"no file {word}" for word in scripts if not (ROOT / word).exists()), None)
    return None if program in COMMANDS else f"no command {program}"


@pytest.mark.parametrize(
    "line",
    ["make tset", "millstream tial x", "pip install 'millstream[htpt]'", ".venv/bin/python examples/no.py", "mk x"],
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    assert problem(shlex.split(line)) is not None


def test_every_target_of_make_has_a_help_text() -> None:
    text = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert set(phony.replace("\\\n", " ").split()) == set(re.findall(r"^([a-z-]+):.*## \w", text, re.MULTILINE))
