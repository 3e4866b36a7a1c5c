"""The commands of docs/howto/gateway.md run against a real gateway and print what the page says."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import millstream as ms
from cli.commands import KEY, SECONDS, environment, replaying, started
from millstream.cli._arguments import make_parser

PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "gateway.md").read_text()
BLOCK = "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.S | re.M))
STEPS = [(line, rest.splitlines()) for line, rest in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", BLOCK, re.M)]
SERVED = re.findall(r"^(millstream serve (?:.*\\\n)*.*)$", PAGE, re.M)


@pytest.fixture(scope="module")
def url():
    spec = re.search(r"--provider (fast=\S+)", SERVED[0])[1]
    with replaying() as upstream:
        spec = spec.replace("http://127.0.0.1:8000", upstream)
        env = environment(GATEWAY_KEYS=KEY)
        with started("serve", "--port", "0", "--api-key-env", "GATEWAY_KEYS", "--provider", spec, env=env) as process:
            yield process.stdout.readline().decode().rpartition(" on ")[2].partition("/v1;")[0]
            process.terminate()


@pytest.mark.parametrize(("command", "promised"), STEPS, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_the_command_does_what_the_page_says(url, command, promised):
    command = command.replace("http://127.0.0.1:8080", url).replace("curl ", "curl --retry 20 --retry-connrefused ", 1)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment(GATEWAY_KEYS=KEY, PATH=os.environ["PATH"]),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert promised
    for line in promised:
        assert any(shown.startswith(line.removesuffix("...")) for shown in lines), done.stdout


def test_every_command_of_the_page_is_one_that_the_command_line_takes():
    assert len(SERVED) == 2
    for command in SERVED:
        args = make_parser().parse_args(command.replace("\\\n", " ").split()[1:])
        assert args.command == "serve"


def test_the_options_that_the_page_names_are_there():
    options = set(re.findall(r"`(--[a-z-]+)", PAGE))
    known = {word for action in serve_actions() for word in action.option_strings}
    assert options - known == set()


def serve_actions():
    (commands,) = [action for action in make_parser()._actions if action.dest == "command"]
    return commands.choices["serve"]._actions


def test_the_program_of_the_page_makes_a_gateway(monkeypatch):
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    names = {"ms": ms, "os": os}
    exec(block, names)
    assert list(names["app"].models) == ["fast", "local"]
