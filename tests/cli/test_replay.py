import socket

import openai
import pytest
import uvicorn

from cli.commands import Stopping, call, failed, press_ctrl_c, replaying, started
from millstream.cli import main

CHAT = "/v1/chat/completions"


def test_the_official_client_takes_it_for_the_provider():
    with replaying() as url, openai.OpenAI(base_url=url + "/v1", api_key="none") as client:
        chunks = client.chat.completions.create(model="any", messages=[], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("A river is a body of water")


def test_a_recording_can_be_made_the_default():
    with replaying("--recording", "chat-tool-call") as url:
        assert "> get_weather(" in call("tail", url + CHAT, "-d", "{}", "-p", "openai").stdout
        assert call("tail", url + "/v1/messages", "-d", "{}", "-p", "anthropic").returncode == 0


def test_the_steps_of_a_run_are_served_one_after_the_other():
    steps = ["--recording", "chat-tool-call", "--recording", "chat-text"]
    with replaying(*steps) as url:
        shown = [call("tail", url + CHAT, "-d", "{}", "-p", "openai").stdout for _ in range(3)]
    assert ["> get_weather(" in one for one in shown] == [True, False, True]
    with started("replay", "--port", "0", *steps) as process:
        lines = [process.stdout.readline().decode() for _ in range(4)]
        press_ctrl_c(process)
        assert process.wait(20) == 130
    assert lines[3] == "  in turn, again and again: chat-tool-call, chat-text\n"


def test_it_says_what_it_serves():
    with started("replay", "--port", "0") as process:
        lines = [process.stdout.readline().decode() for _ in range(4)]
        press_ctrl_c(process)
        rest, complaints = process.communicate(timeout=30)
    assert lines[0].startswith("serving 9 recordings on http://127.0.0.1:")
    assert lines[1].endswith(
        f"{CHAT}: chat-text, chat-text-usage, chat-tool-call, chat-json-schema, demo-chat, demo-object\n"
    )
    assert lines[2].endswith("/v1/messages: messages-text, messages-thinking, demo-messages\n")
    assert "x-millstream-recording" in lines[3]
    assert (process.returncode, rest, complaints) == (130, b"", b"")


def test_ctrl_c_ends_it_while_a_stream_runs():
    with started("replay", "--port", "0", "--speed", "0.01", "--recording", "chat-text-usage") as process:
        address = process.stdout.readline().decode().rpartition("http://")[2].partition(";")[0]
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 200"
            press_ctrl_c(process)
            assert process.wait(20) == 130
        assert process.stderr.read() == b""


def test_a_server_that_stops_by_itself_has_ended_well(monkeypatch, capsys):
    monkeypatch.setattr(uvicorn, "Server", Stopping)
    assert main(["replay", "--port", "0"]) == 0
    assert capsys.readouterr().out.startswith("serving 9 recordings on http://127.0.0.1:")


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call("replay", "--port", taken.getsockname()[1])
    assert failed(done, 1, "in use", "--port 0")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, "`millstream record` makes a folder"),
        ("[]", "no recordings in"),
        ("{}", "no recordings in"),
        ("nonsense", "is none that"),
        ("[7]", "is none that"),
        ('[{"file": "x.sse"}]', "cannot read"),
    ],
)
def test_a_folder_without_recordings(tmp_path, index, words):
    if index is not None:
        (tmp_path / "INDEX.json").write_text(index)
    assert failed(call("replay", tmp_path), 2, words)


def test_an_unknown_recording():
    assert failed(call("replay", "--recording", "none"), 2, "there are: chat-text, ")


@pytest.mark.parametrize("port", ["x", "-1", "65536", "", "１"])
def test_a_bad_port_is_wrong_use(port, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["replay", f"--port={port}"])
    assert caught.value.code == 2
    assert "a number from 0 to 65535" in capsys.readouterr().err
