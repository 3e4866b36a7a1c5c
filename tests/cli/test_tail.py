import gzip
import json
import random
import re
import subprocess

import pytest

import millstream as ms
from cli.commands import COMMAND, KEY, Terminal, call, environment, failed, press_ctrl_c, replaying, started
from millstream.cli import tail
from millstream.cli._source import Source
from millstream.server.replay import PACKAGED
from providers.live import Scripted, chunk, head, whole

pytest.importorskip("pty")

CHAT = "/v1/chat/completions"
SSE = PACKAGED / "messages-text.sse"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m[bold]"
DONE = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(scope="module")
def url():
    with replaying("--recording", "chat-text-usage", "--recording", "messages-text") as url:
        yield url


def events(text):
    return [ms.events.decode_event(line) for line in text.splitlines()]


def truth(name):
    return json.loads((PACKAGED / f"{name}.sse.truth.json").read_bytes())


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_messages_of_an_address_are_shown_line_by_line(url):
    done = call("tail", url + "/v1/messages", "-d", "{}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r' +\d+\.\d{3}  message_start  \{"type":"message_start".*', lines[0])
    assert re.fullmatch(r"65 messages, 7702 bytes, \d+\.\d s", lines[-1])
    assert len(lines) == 66


def test_with_a_protocol_it_is_the_text_and_the_facts(url):
    done = call("tail", url + CHAT, "-d", "{}", "--protocol", "openai")
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.removeprefix("  | ") for line in done.stdout.splitlines() if line.startswith("  | ")]
    assert "\n".join(said) == truth("chat-text-usage")["text"]
    assert "finish: length (length)   usage: 39 in, 120 out" in done.stdout


def test_typed_json_is_the_events_and_can_be_read_again(url):
    done = call("tail", url + CHAT, "-d", "{}", "-p", "openai", "--json")
    again = call("tail", "-", "-p", "millstream.events.v1+ndjson", "--json", input=done.stdout)
    assert (done.returncode, again.returncode) == (0, 0)
    assert again.stdout == done.stdout
    text = "".join(event.text for event in events(done.stdout) if isinstance(event, ms.TextDelta))
    assert text == truth("chat-text-usage")["text"]


def test_untyped_json_is_one_object_per_message():
    body = b'retry: 7\nevent: a\nid: 1\ndata: {"n": 1}\ndata: two\n\ndata: x\n\nnonsense\n\n'
    done = call("tail", "-", "--json", input=body.decode())
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [{key: value for key, value in line.items() if key != "t"} for line in lines] == [
        {"event": "a", "data": '{"n": 1}\ntwo', "id": "1", "retry": 7},
        {"event": "message", "data": "x", "id": "1"},
        {"event": "message", "data": "", "id": "1", "unknown": "nonsense"},
    ]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


def test_ndjson_is_passed_on_as_it_is():
    lines = ['{"n": 12345678901234567890123}', '[1, "\\u001b"]', '"\x85\x9b"']
    done = call("tail", "-", "--json", input="\n".join(lines))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [*lines[:2], '"\\u0085\\u009b"']
    assert call("tail", "-", input="\ufeff \n{}\n").stdout.splitlines()[0].endswith("  {}")


def test_a_file_is_read_and_its_framing_found(tmp_path):
    assert call("tail", SSE).stdout.splitlines()[-1].startswith("65 messages, 7702 bytes")
    (tmp_path / "a.jsonl").write_text("7\n8\n")
    assert call("tail", tmp_path / "a.jsonl").stdout.splitlines()[-1].startswith("2 messages, 4 bytes")
    assert call("tail", SSE, "-p", "anthropic").returncode == 0


def test_it_is_live(tmp_path):
    with started("tail", "-", "-p", "openai", "--json", stdin=subprocess.PIPE) as process:
        process.stdin.write(b'data: {"model":"m","choices":[{"delta":{"content":"Hi"}}]}\n\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["type"] == "start"
        assert json.loads(process.stdout.readline())["text"] == "Hi"


def test_follow_waits_until_a_file_grows(tmp_path):
    path = tmp_path / "grows.sse"
    path.write_bytes(b"data: one\n\n")
    with started("tail", "--follow", path, "--json") as process:
        assert json.loads(process.stdout.readline())["data"] == "one"
        with path.open("ab") as file:
            file.write(b"data: two\n\n")
        assert json.loads(process.stdout.readline())["data"] == "two"
        press_ctrl_c(process)
        assert process.wait(30) == 130


def test_with_a_protocol_it_ends_with_the_stream_not_with_the_connection():
    def answer(connection):
        connection.send(head() + chunk(DONE))
        connection.hold()

    with Scripted(answer) as server:
        done = call("tail", server.url, "-p", "openai")
    assert done.returncode == 0
    assert "  | Hi" in done.stdout


def test_on_a_terminal_it_is_drawn(url):
    with Terminal("tail", url + CHAT, "-d", "{}", "-p", "openai") as terminal:
        drawn = re.sub(r"\x1b\[[\d;]*m", "", terminal.read_all())
    assert terminal.process.returncode == 0
    assert f"╭─ openai-chat: {url}{CHAT}" in drawn
    assert "finish: length" in drawn
    with Terminal("tail", SSE) as terminal:
        shown = terminal.read_all()
    assert "\x1b[" in shown
    assert "message_start" in re.sub(r"\x1b\[[\d;]*m", "", shown)


# --- hostile text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("on_terminal", [True, False])
def test_streamed_text_cannot_command_the_terminal(tmp_path, typed, on_terminal):
    delta = {"choices": [{"delta": {"content": HOSTILE}, "finish_reason": "stop" + HOSTILE}]}
    name = HOSTILE.replace("\x9b", "")
    body = f"event: {name}\ndata: {HOSTILE}\n\n{name}\n\n" if not typed else f"data: {json.dumps(delta)}\n\n"
    path = tmp_path / "hostile.sse"
    path.write_text(body + "data: [DONE]\n\n", encoding="utf-8")
    args = ["tail", path, *(["-p", "openai"] if typed else [])]
    if on_terminal:
        with Terminal(*args) as terminal:
            shown = terminal.read_all()
    else:
        shown = call(*args).stdout
    assert "]0;owned[2J31m[bold]" in shown
    for code in ("\x1b]0;", "\x1b[2J", "\x9b", "\x07"):
        assert code not in shown


def test_an_error_of_a_provider_cannot_command_the_terminal():
    body = json.dumps({"error": {"message": HOSTILE + "\nsecond line"}}).encode()
    with Scripted(whole("503 Busy", body)) as server:
        done = call("tail", server.url, "-p", "openai")
    assert failed(done, 1, "Overloaded")
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1


# --- requests --------------------------------------------------------------------------------------------------------


def test_the_request_is_what_was_asked_for(tmp_path):
    (tmp_path / "body.json").write_text('{"a": 1}')
    with Scripted(whole("200 OK", DONE, "text/event-stream")) as server:
        call("tail", server.url + "/x?q=1", "-H", "X-One: $THE_KEY", "-H", "x-two: a$$b")
        call("tail", server.url, "-d", f"@{tmp_path}/body.json", "-H", "content-type: text/plain")
        call("tail", server.url, "-d", "@-", "-X", "put", input="from stdin")
    (get, _), (post, body), (put, piped) = server.asked
    assert get.startswith("GET /x?q=1 ")
    assert f"x-one: {KEY}\r\n" in get
    assert "x-two: a$b\r\n" in get
    assert post.startswith("POST / ")
    assert "content-type: text/plain\r\n" in post
    assert (body, piped) == (b'{"a": 1}', b"from stdin")
    assert put.startswith("PUT / ")
    assert "content-type: application/json\r\n" in put


@pytest.mark.parametrize("protocol", [[], ["-p", "openai"]])
def test_a_key_that_the_server_quotes_is_not_shown(protocol):
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    with Scripted(whole("401 No", body)) as server:
        done = call("tail", server.url + f"/?key={KEY}", "-H", "authorization: Bearer $THE_KEY", *protocol)
    assert failed(done, 1, "AuthError", "Incorrect API key provided: *****")
    assert KEY not in done.stderr + done.stdout


def test_a_redirect_is_not_followed():
    with Scripted(whole("307 Elsewhere", b"", more="location: http://127.0.0.1:9/\r\n")) as server:
        assert failed(call("tail", server.url), 1, "307", "give the address that it redirects to")
    assert len(server.asked) == 1


# --- when it goes wrong ----------------------------------------------------------------------------------------------


def test_a_stream_that_stops_before_its_end_is_a_failure():
    cut = DONE[:-14].decode().replace('"stop"', "null")
    done = call("tail", "-", "-p", "openai", input=cut)
    assert failed(done, 1, "IncompleteStream", "standard input")
    assert "  | Hi" in done.stdout
    machine = call("tail", "-", "-p", "openai", "--json", input=cut)
    assert failed(machine, 1)
    assert events(machine.stdout)[-1].reason == "incomplete"


def test_a_connection_that_breaks_is_an_event_and_a_failure():
    with Scripted(lambda connection: (connection.send(head() + chunk(DONE[:60])), connection.hang_up())) as server:
        done = call("tail", server.url, "-p", "openai", "--json")
        raw = call("tail", server.url)
    assert failed(done, 1, "ConnectionFailed", "broke off")
    assert [event.type for event in events(done.stdout)][-2:] == ["error", "finish"]
    assert failed(raw, 1, "ConnectionFailed", "broke off")


def test_a_silence_can_be_limited():
    with Scripted(lambda connection: (connection.send(head() + chunk(b"data: x\n\n")), connection.hold())) as server:
        done = call("tail", server.url, "--idle-timeout", "0.2")
    assert "  x" in done.stdout
    assert failed(done, 1, "nothing came for 0.2 s", "--idle-timeout")


def test_an_error_in_the_stream_is_a_failure():
    done = call("tail", "-", "-p", "openai", input='data: {"error": {"message": "no", "code": "rate_limit"}}\n\n')
    assert failed(done, 1, "RateLimited")
    assert "> error: " in done.stdout


def test_what_is_no_stream_is_refused():
    with Scripted(whole("200 OK", b"<html>", "text/html")) as server:
        assert failed(call("tail", server.url, "-p", "openai"), 1, "UnexpectedContentType", "text/html")
        assert failed(call("tail", server.url), 1, "no message: is this SSE?")
    bad = call("tail", "-", input="{}\n{nope}\n")
    assert failed(bad, 1, "a line is not JSON")
    assert bad.stdout.splitlines()[0].endswith("  {}")


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("args", [["tail", "-"], ["chat", "--base-url", "http://127.0.0.1:9/v1"]])
def test_a_stream_that_is_closed_is_an_empty_one(args, stream):
    """As a shell closes it: `millstream tail - <&-`."""
    number = {"stdin": 0, "stdout": 1, "stderr": 2}[stream]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {number}>&-', "sh", *COMMAND, *args],
        env=environment(),
        capture_output=True,
        text=True,
        input="",
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("0 messages" in done.stdout) == (args[0] == "tail" and stream != "stdout")


def test_what_cannot_be_read_is_a_failure_in_one_line(tmp_path):
    with (tmp_path / "x").open("w") as only_written:
        done = subprocess.run(
            [*COMMAND, "tail", "-"], stdin=only_written, env=environment(), capture_output=True, text=True, check=False
        )
    assert failed(done, 1, "cannot read: Bad file descriptor")


def test_the_framing_is_found_behind_blank_lines_however_they_are_cut_and_nothing_is_lost():
    for pieces, framing in (([b"\n", b"\xef\xbb\xbf"[:2], b"{}\n"], "sse"), ([b"\n", b" ", b"{}\n"], "ndjson")):
        source = Source("some", iter(pieces))
        assert (source.framing(), b"".join(source.chunks)) == (framing, b"".join(pieces))
    assert failed(call("tail", "-", input=" \n\n"), 1, "3 bytes and no message")


def test_what_came_before_a_limit_is_shown():
    """A small piece of the wire can be large when it is unpacked."""
    body = gzip.compress(b"data: first\n\ndata: " + random.randbytes(5 * 2**20).hex().encode(), 1)  # to a half, no more
    with Scripted(whole("200 OK", body, "text/event-stream", "content-encoding: gzip\r\n")) as server:
        done = call("tail", server.url)
    assert failed(done, 1, "LimitExceeded", "max_event_bytes")
    assert "first" in done.stdout


def test_what_came_before_a_limit_in_the_same_piece_is_shown(capsys):
    source = Source("some", iter([b"data: first\n\ndata: " + b"x" * 9 * 2**20]))
    with pytest.raises(ms.LimitExceeded):
        tail._messages(source, "sse", as_json=True)
    assert json.loads(capsys.readouterr().out)["data"] == "first"


def test_an_error_body_without_end_is_read_so_far():
    def answer(connection):
        connection.send(head("500 No"))
        connection.send_until_left(chunk(b"x" * 65536))

    with Scripted(answer) as server:
        assert failed(call("tail", server.url), 1, "500")
        assert server.connections[0].left.wait(10)


def test_a_limit_is_a_failure_in_one_line():
    assert failed(call("tail", "-", input="data: " + "x" * 9 * 2**20), 1, "LimitExceeded", "max_event_bytes")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["http://127.0.0.1:9/x?key=hidden-secret"], 1, ["http://127.0.0.1:9/x:", "is the server running?"]),
        (["http://"], 2, ["look at the address"]),
        (["no-such-file"], 2, ["No such file", "http://"]),
        (["."], 2, ["cannot read"]),
        (["-", "-p", "nothing"], 2, ["no decoder for protocol 'nothing'; known are: anthropic-messages"]),
        (["-", "-p", "openai", "--framing", "sse"], 2, ["--framing"]),
        (["-", "-d", "{}"], 2, ["'-' is no address"]),
        (["http://127.0.0.1:9", "-H", "nonsense"], 2, ["'NAME: VALUE'"]),
        (["http://127.0.0.1:9", "-H", "a: $NO_SUCH_VARIABLE"], 2, ["NO_SUCH_VARIABLE", "not set"]),
        (["http://127.0.0.1:9", "-H", "a: $"], 2, ["$$"]),
        (["http://127.0.0.1:9", "-H", "a: \u00e9"], 2, ["no header can carry"]),
        (["http://127.0.0.1:9", "-d", "@no-such-file"], 2, ["cannot read --data"]),
    ],
)
def test_wrong_use_is_one_line_with_the_remedy(args, code, words):
    done = call("tail", *args)
    assert failed(done, code, *words)
    assert done.stderr.count("\n") == 1
    assert "hidden-secret" not in done.stderr


def test_ctrl_c_is_quiet():
    with Scripted(lambda connection: (connection.send(head() + chunk(b"data: x\n\n")), connection.hold())) as server:
        with started("tail", server.url) as process:
            assert b"  x" in process.stdout.readline()
            press_ctrl_c(process)
            _, complaints = process.communicate(timeout=30)
        assert (process.returncode, complaints) == (130, b"")
        assert server.connections[0].left.wait(10)


@pytest.mark.parametrize("args", [[], ["--json"], ["-p", "openai"], ["-p", "openai", "--json"]])
def test_a_reader_that_goes_away_is_no_traceback(args):
    def answer(connection):
        connection.send(head())
        connection.send_until_left(chunk(b'data: {"choices":[{"delta":{"content":"line\\n"}}]}\n\n'))

    with Scripted(answer) as server, started("tail", server.url, *args) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_a_narrow_encoding_ends_nothing():
    body = 'data: {"choices":[{"delta":{"content":"日"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    narrow = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "  | ?" in call("tail", "-", "-p", "openai", input=body, **narrow).stdout
    assert '"text":"日"' in call("tail", "-", "-p", "openai", "--json", input=body, **narrow).stdout


@pytest.mark.parametrize("typed", [[], ["-p", "openai"]])
@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "br"])
def test_a_content_coding_that_nobody_undoes_is_told(typed, coding):
    answer = whole("200 OK", b"\x1f\x8b\x00\x00", "text/event-stream", f"content-encoding: {coding}\r\n")
    with Scripted(answer) as server:
        assert failed(call("tail", server.url, *typed), 1, "UnexpectedContentType", coding)


def test_a_compressed_stream_is_read_and_a_bomb_has_a_limit():
    said = gzip.compress(b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n' * 3)
    with Scripted(whole("200 OK", said, "text/event-stream", "content-encoding: gzip\r\n")) as server:
        done = call("tail", server.url)
    assert done.stdout.count("Hi") == 3
    bomb = gzip.compress(b": " + b"x" * 6_000_000)
    with Scripted(whole("200 OK", bomb, "text/event-stream", "content-encoding: gzip\r\n")) as server:
        assert failed(call("tail", server.url), 1, "LimitExceeded", "max_inflation")
