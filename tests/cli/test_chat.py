import io
import json
import re
import subprocess
import sys

import pytest

from cli.commands import KEY, Terminal, call, failed, parrot, press_ctrl_c, replaying, started
from millstream.cli import chat, main
from providers.live import Scripted, chunk, head, whole

pytest.importorskip("pty")


def delta(**fields):
    return f"data: {json.dumps({'choices': [{'delta': fields}]})}\n\n".encode()


def says(text):
    return whole("200 OK", delta(content=text) + END, "text/event-stream")


END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
CALL = {"index": 0, "id": "c", "function": {"name": "throw_dice", "arguments": '{"count": 3}'}}
CALLS = delta(tool_calls=[CALL]) + END.replace(b'"stop"', b'"tool_calls"')


def asked(server):
    return [json.loads(body)["messages"] for _, body in server.asked]


def talk(server, *args, **options):
    return call("chat", "--base-url", server.url + "/v1", *args, **options)


def test_a_recorded_provider_answers():
    with replaying() as url:
        done = call("chat", "--base-url", url + "/v1", input="hello\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "A river is a body of water" in done.stdout


def test_the_model_remembers():
    with Scripted(says("first"), says("second")) as server:
        done = talk(
            server, "--system", "Be brief.", "--max-tokens", "9", "--temperature", "0.5", input="a\n\n b \nexit\nc"
        )
        sent = json.loads(server.asked[1][1])
    assert (done.returncode, done.stdout) == (0, "first\nsecond\n")
    assert [(message["role"], message["content"]) for message in sent["messages"]] == [
        ("system", "Be brief."),
        ("user", "a"),
        ("assistant", "first"),
        ("user", "b"),
    ]
    assert (sent["temperature"], sent.get("max_tokens", sent.get("max_completion_tokens"))) == (0.5, 9)
    assert len(server.asked) == 2


def test_a_key_comes_from_the_variable_that_was_named_and_is_not_shown():
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    with Scripted(says("ok"), whole("401 No", body)) as server:
        done = talk(server, "--provider", "openai:m", "--key-env", "THE_KEY", input="a\nb\n")
        assert f"authorization: Bearer {KEY}\r\n" in server.asked[0][0]
    assert failed(done, 1, "AuthError")
    assert done.stdout == "ok\n"
    assert KEY not in done.stderr


def test_tools_are_run_and_their_results_sent_back():
    with Scripted(whole("200 OK", CALLS, "text/event-stream"), says("Lucky you.")) as server:
        done = talk(server, "--tools", input="throw three dice\n")
        last = asked(server)[1][-1]
    assert done.returncode == 0
    assert re.search(r'> throw_dice\(\{"count": 3\}\)\n> throw_dice gave \[\d,\d,\d\]\nLucky you\.\n', done.stdout)
    assert last["role"] == "tool"


def test_a_failed_answer_ends_a_script():
    with Scripted(says("a"), whole("400 No", b'{"error": {"message": "too \\u001b long"}}')) as server:
        done = talk(server, input="1\n2\n3\n")
    assert failed(done, 1, "InvalidRequest", "too long")
    assert (done.stdout, done.stderr.count("\x1b"), len(server.asked)) == ("a\n", 0, 2)


def test_an_answer_that_breaks_off_is_a_failure():
    with Scripted(whole("200 OK", delta(content="half"), "text/event-stream")) as server:
        done = talk(server, input="1\n")
    assert failed(done, 1, "IncompleteStream")
    assert done.stdout == "half\n"


def test_words_of_a_model_cannot_command_the_terminal():
    with Scripted(says("\x1b]0;owned\x07\x9b31m")) as server:
        done = talk(server, input="1\n")
    assert done.stdout == "]0;owned31m\n"


def test_words_of_which_nothing_can_be_shown_are_nothing():
    body = delta(content="\x07") + delta(content="Hi") + delta(content="\x07") + END
    with Scripted(whole("200 OK", body, "text/event-stream")) as server:
        assert talk(server, input="1\n").stdout == "Hi\n"


def test_ctrl_c_ends_a_script_and_leaves_the_server():
    def endless(connection):
        connection.send(head())
        connection.send_until_left(chunk(delta(content="blah\n")))

    with (
        Scripted(endless) as server,
        started("chat", "--base-url", server.url + "/v1", stdin=subprocess.PIPE) as process,
    ):
        process.stdin.write(b"a\nb\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"blah\n"
        press_ctrl_c(process)
        _, complaints = process.communicate(timeout=30)
        assert server.connections[0].left.wait(10)
    assert (process.returncode, complaints, len(server.asked)) == (130, b"", 1)


def test_a_program_may_call_it_with_streams_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    with Scripted(says("fine")) as server:
        assert main(["chat", "--base-url", server.url + "/v1"]) == 0
    assert capsys.readouterr().out == "fine\n"


def test_what_is_typed_need_not_be_utf8():
    with Scripted(says("ok")) as server:
        done = talk(
            server, input="caf\udce9\n".encode("utf-8", "surrogateescape").decode("latin-1"), PYTHONIOENCODING="ascii"
        )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["--provider NAME:MODEL or --base-url URL", "anthropic"]),
        (["--provider", "nobody:x"], ["no provider 'nobody'"]),
        (["--provider", "openai"], ["name a model"]),
        (["--provider", "openai:m"], ["OPENAI_API_KEY", "--key-env"]),
        (["--provider", "openai:m", "--key-env", "NO_SUCH"], ["NO_SUCH is not set"]),
        (["--base-url", "nonsense"], ["base_url must look like"]),
    ],
)
def test_wrong_use_is_one_line_with_the_remedy(args, words):
    assert failed(call("chat", *args, input="hello\n"), 2, *words)


@pytest.mark.parametrize("args", [[], ["--base-url", "http://127.0.0.1:9/v1"]])
def test_what_a_provider_of_another_package_does_not_take_is_wrong_use(tmp_path, args):
    done = call("chat", "--provider", "parrot:x", *args, PYTHONPATH=parrot(tmp_path))
    assert failed(done, 2, "'parrot:x' cannot be made so", "wings")


def test_a_refused_connection_says_where():
    done = call("chat", "--base-url", "http://127.0.0.1:9/v1", input="hello\n")
    assert failed(
        done, 1, "all 3 attempts failed", "ConnectionFailed", "http://127.0.0.1:9/v1", "is the server running?"
    )


def test_on_a_terminal_it_asks_and_answers_turn_by_turn():
    thinks = whole("200 OK", delta(reasoning_content="hm ") + delta(content="one") + END, "text/event-stream")
    with Scripted(thinks, says("two")) as server:
        with Terminal("chat", "--base-url", server.url + "/v1") as terminal:
            terminal.read_until("> ")
            terminal.type("a\n")
            terminal.read_until("one")
            terminal.read_until("> ", after="one")
            terminal.type("b\n")
            terminal.read_until("two")
            terminal.read_until("> ", after="two")
            terminal.type("\x04")
            shown = terminal.read_all()
        assert [message["content"] for message in asked(server)[1]] == ["a", "one", "b"]
    assert terminal.process.returncode == 0
    assert "\x1b[2mhm \x1b[0mone\n" in shown
    assert "Ctrl-C stops an answer" in shown


def test_ctrl_c_stops_an_answer_and_the_talk_goes_on():
    def endless(connection):
        connection.send(head())
        connection.send_until_left(chunk(delta(content="blah ")))

    with Scripted(endless, says("fine")) as server:
        with Terminal("chat", "--base-url", server.url + "/v1") as terminal:
            terminal.read_until("> ")
            terminal.type("a\n")
            terminal.read_until("blah ")
            terminal.type("b\n")  # typed ahead: said at once, when the turn before has ended
            press_ctrl_c(terminal.process)
            assert server.connections[0].left.wait(10)
            terminal.read_until("[stopped")
            terminal.read_until("fine")
            terminal.read_until("> ", after="fine")  # readline may draw a prompt twice: a count of them tells nothing
            press_ctrl_c(terminal.process)
            terminal.type("\n")  # readline may not have begun to listen for signals when it has shown the prompt
            terminal.read_all()
        assert [message["content"] for message in asked(server)[1]] == ["b"]
    assert terminal.process.returncode == 130
    assert "Traceback" not in terminal.shown


def test_a_failed_answer_does_not_end_a_talk():
    with (
        Scripted(whole("400 No", b'{"error": {"message": "no"}}'), says("fine")) as server,
        Terminal("chat", "--base-url", server.url + "/v1") as terminal,
    ):
        terminal.read_until("> ")
        terminal.type("a\n")
        terminal.read_until("InvalidRequest")
        terminal.type("b\n")
        terminal.read_until("fine")
        terminal.type("exit\n")
        terminal.read_all()
    assert terminal.process.returncode == 0


def test_the_tools_are_harmless_whatever_the_model_asks():
    assert len(chat.throw_dice(10**9, -5)) == 100
    assert chat.throw_dice(-1, 0) == [1]
    assert chat.current_time("Europe/Paris")[-6:] in ("+01:00", "+02:00")
