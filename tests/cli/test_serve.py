"""`millstream serve` says what is wrong with its arguments before it listens, and never shows a key."""

import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn

from cli.commands import KEY, Stopping, call, failed, parrot, started, until_asleep
from millstream.cli import main

MODEL = ("--provider", "m=compatible:x,base_url=http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([*MODEL], ["--api-key-env", "--no-auth"]),
        ([*MODEL, "--no-auth", "--api-key-env", "THE_KEY"], ["exclude each other"]),
        ([*MODEL, "--no-auth", "--host", "0.0.0.0"], ["0.0.0.0", "--api-key-env"]),
        ([*MODEL, "--no-auth", "--host", "::"], ["--api-key-env"]),
        ([*MODEL, "--no-auth", "--host", "no-such-host.invalid"], ["--api-key-env"]),
        ([*MODEL, "--api-key-env", "NOT_SET"], ["NOT_SET"]),
        ([*MODEL, "--api-key-env", "SHORT"], ["key 1", "16"]),
        ([*MODEL, "--no-auth", "--workers", "2"], ["--redis"]),
        ([*MODEL, *MODEL, "--no-auth"], ["'m'", "NAME="]),
        (["--provider", "nobody:x", "--no-auth"], ["nobody"]),
        (["--provider", "", "--no-auth"], ["PROVIDER:MODEL"]),
        (["--provider", "a=b=c,d", "--no-auth"], ["PROVIDER:MODEL"]),
        (["--provider", "compatible:x", "--no-auth"], ["base_url"]),
        (["--provider", "compatible:x,port=1", "--no-auth"], ["port", "base_url"]),
        (["--provider", "openai:x", "--no-auth"], ["OPENAI_API_KEY", "key_env"]),
        (["--provider", "openai:x,key_env=NOT_SET", "--no-auth"], ["NOT_SET"]),
        ([*MODEL, "--no-auth", "--origin", "*"], ["origin"]),
        (["--provider", "openai:x,key_env=THE_KEY", "--no-auth", "--workers", "0"], ["--workers", "1 to 100000"]),
        ([*MODEL, "--no-auth", "--grace", "0"], ["--grace", "seconds above 0"]),
        (["--provider", "parrot:x", "--no-auth"], ["'parrot' cannot be made so", "wings"]),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(tmp_path, args, words):
    done = call("serve", "--port", "0", *args, SHORT="too-short", PYTHONPATH=parrot(tmp_path))
    assert failed(done, 2, *words)
    assert KEY not in done.stderr + done.stdout
    assert "too-short" not in done.stderr


@pytest.mark.parametrize(
    ("args", "sig", "code"),
    [
        ([], signal.SIGINT, 130),
        (["--workers", "2", "--resume", "never"], signal.SIGTERM, 0),
        (["--host", "::1"], signal.SIGINT, 130),
    ],
    ids=["alone", "workers", "IPv6"],
)
def test_it_says_where_it_serves_and_ends_when_it_is_told_to(args, sig, code):
    with started("serve", "--port", "0", *MODEL, "--no-auth", *args) as process:
        line = process.stdout.readline().decode()
        assert line.startswith("serving m on http://")
        url = line.rpartition(" on ")[2].partition("/v1;")[0]
        with urllib.request.urlopen(url + "/health", timeout=20) as answer:
            assert answer.status == 200
        until_asleep(process)
        process.send_signal(sig)
        rest, complaints = process.communicate(timeout=30)
    assert (process.returncode, rest, complaints) == (code, b"", b"")


def test_a_server_that_stops_by_itself_has_ended_well(monkeypatch, capsys):
    monkeypatch.setattr(uvicorn, "Server", Stopping)
    assert main(["serve", "--port", "0", *MODEL, "--no-auth"]) == 0
    assert capsys.readouterr().out.startswith("serving m on http://127.0.0.1:")


def test_a_gateway_that_cannot_begin_is_a_failure_in_one_line(capsys):
    with ThreadPoolExecutor(1) as pool:  # where no signal can be heard
        assert pool.submit(main, ["serve", "--port", "0", *MODEL, "--no-auth"]).result(30) == 1
    assert capsys.readouterr().err.endswith("millstream serve: the gateway could not start\n")
