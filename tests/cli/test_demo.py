import errno
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import orjson
import pytest

import millstream as ms
from cli.commands import press_ctrl_c
from millstream.cli import main
from millstream.cli.demo import _server, served
from millstream.server.responses import EventStreamResponse

pty = pytest.importorskip("pty")

COMMAND = [sys.executable, "-m", "millstream.cli"]
SUMMARY = re.compile(r"^5 acts, \d+ events, \d+ characters, all finished: ok$", re.M)
SECONDS = 50


def environment(**extra):
    paths = os.pathsep.join(path for path in sys.path if path)
    unset = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"}
    return {key: value for key, value in os.environ.items() if key not in unset} | {"PYTHONPATH": paths, **extra}


def call(*args, **extra):
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, encoding="utf-8", env=environment(**extra), timeout=SECONDS, check=False
    )


def acts(shown):
    """The lines of each act, by its name."""
    parts = re.split(r"^== (\d/5) ([\w ]+):.*\n", shown, flags=re.M)[1:]
    assert parts[::3] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    return {name: text.splitlines() for name, text in zip(parts[1::3], parts[2::3], strict=True)}


@pytest.fixture(scope="module")
def in_a_pipe():
    return call("demo", "--speed", "max")


def test_demo_in_a_pipe(in_a_pipe):
    assert (in_a_pipe.returncode, in_a_pipe.stderr) == (0, "")
    assert SUMMARY.search(in_a_pipe.stdout)
    assert "tiny model" in in_a_pipe.stdout
    assert "\x1b" not in in_a_pipe.stdout
    assert in_a_pipe.stdout.count("first token: ") == 5
    assert [*acts(in_a_pipe.stdout)] == ["text", "object", "tools", "health", "served on"]


def test_the_first_act_shows_text(in_a_pipe):
    shown = acts(in_a_pipe.stdout)["text"]
    assert shown[0].startswith(
        "  | A river is a body of water that flows through the earth's surface, carrying sediment"
    )
    assert "  events: start 1, text_delta 45, usage 1, finish 1" in shown
    assert "  finish: stop (stop)   usage: 19 in, 46 out" in shown


def test_the_second_act_shows_an_object_that_grows_and_is_validated(in_a_pipe):
    shown = acts(in_a_pipe.stdout)["object"]
    states = [orjson.loads(line.removeprefix("  = ")) for line in shown if line.startswith("  = ")]
    assert states[0] == {}
    assert {"city": "Paris"} in states
    whole = {"city": "Paris", "population": 2540000, "tags": ["Notre-Dame", "Seine", "Louvre"]}
    assert states[-1] == whole
    assert all(len(str(after)) > len(str(before)) for before, after in pairwise(states))
    assert "  * validated: City(city='Paris', population=2540000, tags=['Notre-Dame', 'Seine', 'Louvre'])" in shown
    assert "  events: start 1, text_delta 35, object_delta 21, usage 1, finish 1" in shown


def test_the_third_act_runs_tools_in_several_steps(in_a_pipe):
    shown = acts(in_a_pipe.stdout)["tools"]
    told = [line for line in shown if line.startswith("  > ")]
    assert told[:6] == [
        "  > step 1",
        '  > get_weather({ "city": "Paris", "unit": "f"})',
        '  > get_weather gave "64 f"',
        "  > step 2",
        '  > get_weather({"city": "Lyon", "unit": "f"})',
        '  > get_weather({"city": "Nice", "unit": "f"})',
    ]
    assert sorted(told[6:8]) == ['  > get_weather gave "70 f"', '  > get_weather gave "81 f"']
    assert told[8:] == ["  > step 3"]
    assert any(re.fullmatch(r"  \* 3 steps, 3 calls, \d+\.\d s", line) for line in shown)
    assert any("Nice is the warmest" in line for line in shown)


@pytest.fixture(scope="module")
def at_a_pace():
    return call("demo", "--speed", "6").stdout


def test_the_third_act_shows_what_still_runs(at_a_pace):
    shown = acts(at_a_pace)["tools"]
    assert shown.index('  > get_weather gave "81 f"') + 1 == shown.index("  * still running: get_weather")


def test_the_fourth_act_tells_the_health_of_a_stream_that_stalls(at_a_pace):
    shown = acts(at_a_pace)["health"]
    told = [line.removeprefix("  * ") for line in shown if line.startswith("  * ")]
    assert any(re.match(r"stalled: no event for \d+\.\d s \(18 events so far\)", line) for line in told)
    assert re.fullmatch(
        r"[\d.]+ events/s, [\d.]+ KB/s, 0\.0% errors; first event after \d+ ms, 99 % of the gaps below [\d.]+ s",
        told[-1],
    )
    assert any(re.search(r"stalls: [1-9]", line) for line in shown)  # a busy machine adds its own


def test_the_fifth_act_gives_what_a_backend_serves_on(in_a_pipe):
    shown = acts(in_a_pipe.stdout)
    assert "  events: start 1, text_delta 33, usage 1, finish 1" in shown["served on"]
    assert "  finish: stop (end_turn)   usage: 14 in, 34 out" in shown["served on"]
    words = [[line for line in shown[name] if line.startswith("  | ")] for name in ("health", "served on")]
    assert words[0] == words[1]


def test_demo_does_not_use_the_proxy_of_the_environment():
    proxy = "http://127.0.0.1:9"
    assert (
        call("demo", "--speed", "max", HTTP_PROXY=proxy, http_proxy=proxy, ALL_PROXY=proxy, NO_PROXY="").returncode == 0
    )


def test_recordings_can_be_chosen():
    done = call("demo", "--speed", "max", "--recording", "chat-tool-call", "--recording", "messages-thinking")
    assert done.returncode == 0
    assert 'get_weather({ "city": "Paris", "unit": "f"})' in done.stdout
    assert done.stdout.count("reasoning_delta ") == 2  # in acts 4 and 5
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
    assert "╭─ 1/5 text: " in drawn
    assert drawn.count("╭─ 4/5 health: ") > 1  # drawn again; how often, the machine decides
    assert '│   "population": 2540000,' in drawn
    assert "  3 steps, 3 calls, " in drawn
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 5  # the cursor comes back


def test_ctrl_c_is_quiet():
    with subprocess.Popen(
        [*COMMAND, "demo", "--speed", "0.01"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        for line in process.stdout:
            if line.startswith(b"== 1/5"):
                break
        press_ctrl_c(process)
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

    monkeypatch.setattr(socket, "create_server", lambda address: refuse())
    assert main(["demo"]) == 1
    assert "cannot open a local port" in capsys.readouterr().err


@pytest.mark.parametrize("failure", [SystemExit(3), RuntimeError("boom"), None])
def test_a_server_that_stops(monkeypatch, capsys, failure):
    async def serve(self, sockets):
        if failure is not None:
            raise failure

    monkeypatch.setattr(_server._Server, "serve", serve)
    assert main(["demo", "--speed", "max"]) == 1
    assert f"the local server stopped: {failure!r}" in capsys.readouterr().err


async def _error(scope, receive, send, status=529):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"error": {"message": "bu\\u001bsy"}}'})


def _routes_with(monkeypatch, path, app, nth=1):
    routes = _server.Routes.__call__
    asked = Counter()

    async def call(self, scope, receive, send):
        asked[scope["path"]] += 1
        is_it = (scope["path"], asked[scope["path"]]) == (path, nth)
        await (app(scope, receive, send) if is_it else routes(self, scope, receive, send))

    monkeypatch.setattr(_server.Routes, "__call__", call)


@pytest.mark.parametrize(
    ("path", "nth", "act"),
    [
        ("/v1/chat/completions", 1, "1/5 text"),
        ("/v1/chat/completions", 2, "2/5 object"),
        ("/v1/chat/completions", 4, "3/5 tools"),
        ("/v1/messages", 1, "4/5 health"),
        (served.PATH, 1, "5/5 served on"),
    ],
)
def test_an_act_that_fails_is_named(monkeypatch, capsys, path, nth, act):
    _routes_with(monkeypatch, path, _error, nth)
    assert main(["demo", "--speed", "max"]) == 1
    complaint = capsys.readouterr().err
    assert re.match(rf"millstream demo: act {act}.*: Overloaded: ", complaint)
    assert "\x1b" not in complaint


def _events(*texts, finish=True):
    async def body():
        encoder = ms.encoder(served.PROTOCOL)
        for text in texts:
            yield encoder.encode(ms.TextDelta(text))
        if finish:
            yield encoder.encode(ms.Finish(ms.FinishReason.STOP))

    async def app(scope, receive, send):
        await EventStreamResponse(ms.stream(body(), protocol=served.PROTOCOL), served.PROTOCOL)(scope, receive, send)

    return app


def test_other_text_in_the_last_act_is_a_failure(monkeypatch, capsys):
    _routes_with(monkeypatch, served.PATH, _events("other"))
    assert main(["demo", "--speed", "max"]) == 1
    assert "act 5 did not give the same text as the one before" in capsys.readouterr().err


def test_a_stream_without_its_end_is_a_failure(monkeypatch, capsys):
    _routes_with(monkeypatch, served.PATH, _events("cut", finish=False))
    assert main(["demo", "--speed", "max"]) == 1
    assert "the stream did not finish properly" in capsys.readouterr().err
