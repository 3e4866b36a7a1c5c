import errno
import os
import re
import signal
import subprocess
import sys

import pytest

import millstream as ms
from millstream.cli import demo, main
from millstream.server.responses import EventStreamResponse

pty = pytest.importorskip("pty")

COMMAND = [sys.executable, "-m", "millstream.cli"]
SUMMARY = re.compile(r"^3 streams, \d+ events, \d+ characters, all finished: ok$", re.M)
SECONDS = 30


def environment(**extra):
    paths = os.pathsep.join(path for path in sys.path if path)
    unset = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"}
    return {key: value for key, value in os.environ.items() if key not in unset} | {"PYTHONPATH": paths, **extra}


def call(*args, **extra):
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, encoding="utf-8", env=environment(**extra), timeout=SECONDS, check=False
    )


def test_demo_in_a_pipe():
    done = call("demo", "--speed", "max")
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert SUMMARY.search(out)
    assert "tiny model" in out
    assert re.findall(r"^== (\d/3 \S+)", out, re.M) == [
        "1/3 openai-chat",
        "2/3 anthropic-messages",
        "3/3 anthropic-messages,",
    ]
    assert "events: start 1, text_delta 120, usage 1, finish 1" in out
    assert out.count("events: start 1, text_delta 60, usage 1, finish 1") == 2
    assert out.count("first token: ") == 3
    assert "usage: 39 in, 120 out" in out
    assert out.count("finish: length (max_tokens)   usage: 5 in, 60 out") == 2
    assert "\x1b" not in out


def test_demo_does_not_use_the_proxy_of_the_environment():
    proxy = "http://127.0.0.1:9"
    assert (
        call("demo", "--speed", "max", HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy, NO_PROXY="").returncode == 0
    )


def test_recordings_can_be_chosen():
    done = call("demo", "--speed", "max", "--recording", "chat-tool-call", "--recording", "messages-thinking")
    assert done.returncode == 0
    assert 'get_weather({ "city": "Paris", "unit": "f"})' in done.stdout
    assert done.stdout.count("reasoning_delta ") == 2
    assert SUMMARY.search(done.stdout)


def test_demo_on_a_terminal():
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "demo", "--speed", "10"], stdout=slave, stderr=slave, stdin=slave, env=environment(TERM="xterm")
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:  # EIO: how Linux reports the end of a terminal
            pass
        finally:
            os.close(master)
    text = shown.decode().replace("\r\n", "\n")
    assert process.returncode == 0
    assert SUMMARY.search(text)
    drawn = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "╭─ 1/3 openai-chat" in drawn
    assert drawn.count("╭─ 2/3 anthropic-messages") > 3  # drawn again and again
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 3  # the cursor comes back


def test_ctrl_c_is_quiet():
    with subprocess.Popen(
        [*COMMAND, "demo", "--speed", "0.01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        for line in process.stdout:
            if line.startswith(b"== 1/3"):
                break
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=SECONDS)
    assert (process.returncode, complaints) == (130, b"")


def test_a_reader_that_goes_away_is_no_traceback():
    with subprocess.Popen(
        [*COMMAND, "demo", "--speed", "10"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf", ""])
def test_a_bad_speed_is_wrong_use(speed, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", f"--speed={speed}"])
    assert caught.value.code == 2
    assert "a number above 0 or 'max'" in capsys.readouterr().err


def test_no_subcommand_is_wrong_use(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"millstream {ms.__version__}\n"


def test_an_unknown_recording_is_wrong_use(capsys):
    assert main(["demo", "--recording", "no\x1bthing"]) == 2
    assert "there are: chat-text, " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["httpx2", "rich", "uvicorn"])
def test_a_missing_extra_says_what_to_install(name):
    code = f"import sys; sys.modules[{name!r}] = None; from millstream.cli import main; sys.exit(main(['demo']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=SECONDS, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"millstream: {name} is missing; run: pip install 'millstream[cli]'\n"


def test_a_missing_module_of_ours_is_not_taken_for_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "millstream.cli.demo", None)
    with pytest.raises(ModuleNotFoundError, match=r"millstream\.cli\.demo"):
        main(["demo"])


def test_no_port(monkeypatch, capsys):
    def refuse():
        raise OSError(errno.EADDRNOTAVAIL, "no address")

    monkeypatch.setattr(demo, "_listen", refuse)
    assert main(["demo"]) == 1
    assert "cannot open a local port" in capsys.readouterr().err


@pytest.mark.parametrize("failure", [SystemExit(3), RuntimeError("boom"), None])
def test_a_server_that_stops(monkeypatch, capsys, failure):
    async def serve(self, sockets):
        if failure is not None:
            raise failure

    monkeypatch.setattr(demo._Server, "serve", serve)
    assert main(["demo", "--speed", "max"]) == 1
    assert f"the local server stopped: {failure!r}" in capsys.readouterr().err


async def _error(scope, receive, send, status=529):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"error": {"message": "bu\\u001bsy"}}'})


def _routes_with(monkeypatch, path, app):
    routes = demo._Routes.__call__

    async def call(self, scope, receive, send):
        await (app(scope, receive, send) if scope["path"] == path else routes(self, scope, receive, send))

    monkeypatch.setattr(demo._Routes, "__call__", call)


@pytest.mark.parametrize(
    ("path", "act"), [("/v1/chat/completions", "1/3"), ("/v1/messages", "2/3"), ("/v1/events", "3/3")]
)
def test_an_act_that_fails_is_named(monkeypatch, capsys, path, act):
    _routes_with(monkeypatch, path, _error)
    assert main(["demo", "--speed", "max"]) == 1
    complaint = capsys.readouterr().err
    assert re.match(rf"millstream demo: act {act} .*: Overloaded: ", complaint)
    assert "\x1b" not in complaint


def _events(*texts, finish=True):
    async def body():
        encoder = ms.encoder(demo.NDJSON)
        for text in texts:
            yield encoder.encode(ms.TextDelta(text))
        if finish:
            yield encoder.encode(ms.Finish(ms.FinishReason.STOP))

    async def app(scope, receive, send):
        await EventStreamResponse(ms.stream(body(), protocol=demo.NDJSON), demo.NDJSON)(scope, receive, send)

    return app


def test_other_text_in_act_3_is_a_failure(monkeypatch, capsys):
    _routes_with(monkeypatch, "/v1/events", _events("other"))
    assert main(["demo", "--speed", "max"]) == 1
    assert "act 3 did not give the same text as act 2" in capsys.readouterr().err


def test_a_stream_without_its_end_is_a_failure(monkeypatch, capsys):
    _routes_with(monkeypatch, "/v1/events", _events("cut", finish=False))
    assert main(["demo", "--speed", "max"]) == 1
    assert "the stream did not finish properly" in capsys.readouterr().err
