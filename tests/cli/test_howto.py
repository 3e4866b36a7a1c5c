"""The console blocks of the how-to page run, exit with 0 and print what the page says."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import SECONDS, environment, replaying

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "command_line.md"
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.S | re.M)
STEPS = [(line, rest.splitlines()) for line, rest in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(BLOCKS), re.M)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, the command `millstream` on the path, and the server of the page's first block."""
    folder = tmp_path_factory.mktemp("howto")
    shim = folder / "bin" / "millstream"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m millstream.cli "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    with replaying() as url:
        yield folder, url


@pytest.mark.parametrize(
    ("command", "promised"), STEPS[1:], ids=lambda value: value[:50] if isinstance(value, str) else ""
)
def test_the_command_does_what_the_page_says(place, command, promised):
    folder, url = place
    env = environment()
    env["PATH"] = f"{folder / 'bin'}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("http://127.0.0.1:8000", url)],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in promised:
        assert any(shown.startswith(line.removesuffix("...")) for shown in lines), done.stdout


def test_the_first_block_is_the_server():
    command, promised = STEPS[0]
    assert command.startswith("millstream replay")
    assert promised == ["serving 9 recordings on http://127.0.0.1:8000; Ctrl-C ends it"]
    assert len(STEPS) == 7
