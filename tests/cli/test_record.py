import hashlib
import json

import pytest

import millstream as ms
from cli.commands import KEY, call, failed, press_ctrl_c, replaying, started
from millstream.server.replay import PACKAGED, load_recordings
from providers.live import Scripted, chunk, head, whole

CHAT = "/v1/chat/completions"


def body_of(recording):
    return b"".join(data for _, data in recording.chunks)


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_recording_is_the_stream_with_its_timing_and_can_be_replayed(tmp_path):
    original = load_recordings()["chat-text-usage"]
    request = {"model": "gemma", "stream": True}
    args = ["-d", json.dumps(request), "-p", "openai", "--note", "of a test"]
    with replaying("--recording", "chat-text-usage") as url:
        done = call("record", url + CHAT, tmp_path / "one", *args)
    assert done.returncode == 0
    assert f"millstream replay {tmp_path}" in done.stdout
    assert files(tmp_path) == ["INDEX.json", "one.sse", "one.timing.json"]
    found = load_recordings(tmp_path)["one"]
    assert body_of(found) == body_of(original)
    assert len(found.chunks) > len(original.chunks) // 2
    times = [found.headers_at, *(at for at, _ in found.chunks)]
    assert times == sorted(times)
    info = found.info
    assert (info["endpoint"], info["method"], info["http_status"]) == (CHAT, "POST", 200)
    assert (info["api"], info["model"], info["request"]) == ("openai-chat", "gemma", request)
    assert (info["server"], info["note"]) == (url.removeprefix("http://"), "of a test")
    assert info["sha256"] == hashlib.sha256(body_of(found)).hexdigest()
    assert (info["bytes"], info["n_chunks"]) == (len(body_of(found)), len(found.chunks))
    with replaying(tmp_path) as url:
        again = call("tail", url + CHAT, "-d", "{}", "-p", "openai", "--json")
    texts = [json.loads(line) for line in again.stdout.splitlines()]
    truth = json.loads((PACKAGED / "chat-text-usage.sse.truth.json").read_bytes())
    assert "".join(line["text"] for line in texts if line["type"] == "text_delta") == truth["text"]


def test_a_get_is_replayed_as_a_get(tmp_path):
    with Scripted(whole("200 OK", b"data: x\n\n", "text/event-stream")) as server:
        assert call("record", server.url + "/events", tmp_path / "get").returncode == 0
    with replaying(tmp_path) as url:
        assert "  x\n" in call("tail", url + "/events").stdout
        assert failed(call("tail", url + "/events", "-d", "{}"), 1, "wants GET")


def test_chunks_are_those_of_the_wire(tmp_path):
    pieces = [b"data: 1\n", b"\ndata", b": 2\n\n"]

    def answer(connection):
        connection.send(head("201 Made"))
        for piece in pieces:
            connection.send(chunk(piece))
        connection.send(b"0\r\n\r\n")

    with Scripted(answer) as server:
        call("record", server.url, tmp_path / "one", "--endpoint", "/other")
    found = load_recordings(tmp_path)["one"]
    assert b"".join(data for _, data in found.chunks) == b"".join(pieces)
    assert (found.info["endpoint"], found.info["http_status"]) == ("/other", 201)


def test_standard_input_and_files_are_recorded_too(tmp_path):
    assert call("record", "-", tmp_path / "sub" / "piped", input="data: x\n\n").returncode == 0
    assert call("record", PACKAGED / "chat-text.sse", tmp_path / "sub" / "copied").returncode == 0
    assert call("record", "-", tmp_path / "sub" / "lines", input='{"a": 1}\n').returncode == 0
    found = load_recordings(tmp_path / "sub")
    assert list(found) == ["piped", "copied", "lines"]
    assert body_of(found["copied"]) == (PACKAGED / "chat-text.sse").read_bytes()
    assert [item.info["endpoint"] for item in found.values()] == ["/piped", "/copied", "/lines"]
    assert found["lines"].info["content_type"] == "application/x-ndjson"
    assert found["piped"].info["content_type"] == "text/event-stream"


def test_secrets_are_never_written(tmp_path):
    other = "a-key-in-the-query"

    def answer(connection):
        connection.send(head() + chunk(f"data: {KEY[:9]}".encode()))
        connection.send(chunk(f"{KEY[9:]} and {other} and a-password\n\n".encode()) + b"0\r\n\r\n")

    with Scripted(answer) as server:
        url = server.url.replace("http://", "http://user:a-password@") + f"/v1?key={other}"
        headers = ["-H", "x-api-key: $THE_KEY", "-H", "accept: text/event-stream"]
        done = call("record", url, tmp_path / "one", *headers, "-d", json.dumps({"user": KEY}))
        assert f"x-api-key: {KEY}" in server.asked[0][0]
    assert done.returncode == 0
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode() + done.stdout + done.stderr
    for secret in (KEY, KEY[:9], other, "a-password", "x-api-key", "user:"):
        assert secret not in written
    found = load_recordings(tmp_path)["one"]
    assert found.info["request"] == {"user": "*" * len(KEY)}
    assert found.info["content_type"] == "text/event-stream"
    stars = f"data: {'*' * len(KEY)} and {'*' * len(other)} and {'*' * 10}\n\n"
    assert body_of(found).decode() == stars


@pytest.mark.parametrize("end", ["ctrl-c", "break"])
def test_what_had_come_before_the_end_is_kept(tmp_path, end):
    def answer(connection):
        connection.send(head() + chunk(b"data: x\n\n"))
        if end == "ctrl-c":
            connection.hold()
        connection.hang_up()

    with Scripted(answer) as server, started("record", server.url, tmp_path / "one") as process:
        said = process.stderr.readline()
        assert b"Ctrl-C ends it" in said
        if end == "ctrl-c":
            assert server.reached.wait(10)
            while not ((tmp_path / "one.part").exists() and (tmp_path / "one.part").stat().st_size):
                assert process.poll() is None
            press_ctrl_c(process)
        complaints = process.stderr.read()
        process.wait(30)
    if end == "ctrl-c":
        assert (process.returncode, complaints) == (130, b"")
    else:
        assert process.returncode == 1
        assert b"ConnectionFailed" in complaints
    found = load_recordings(tmp_path)["one"]
    assert body_of(found) == b"data: x\n\n"
    assert found.info["note"] == "broke off"
    assert files(tmp_path) == ["INDEX.json", "one.sse", "one.timing.json"]


def test_a_name_is_taken_once_unless_forced(tmp_path):
    assert call("record", "-", tmp_path / "one", input="data: 1\n\n").returncode == 0
    assert failed(call("record", "-", tmp_path / "one", input="data: 2\n\n"), 2, "--force")
    assert body_of(load_recordings(tmp_path)["one"]) == b"data: 1\n\n"
    assert call("record", "-", tmp_path / "one", "--force", input="data: 2\n\n").returncode == 0
    found = load_recordings(tmp_path)
    assert list(found) == ["one"]
    assert body_of(found["one"]) == b"data: 2\n\n"


def test_nothing_is_written_when_there_is_no_stream(tmp_path):
    with Scripted(whole("429 Slow", b"{}")) as server:
        assert failed(call("record", server.url, tmp_path / "new" / "one"), 1, "RateLimited")
    assert failed(call("record", "-", tmp_path / "new" / "one", input=""), 1, "nothing to record")
    assert files(tmp_path / "new") == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-", "x.json"], "give FOLDER/NAME"),
        (["-", ".hidden"], "give FOLDER/NAME"),
        (["-", "x", "--endpoint", "v1"], "must begin with /"),
        (["-", "x", "-p", "nothing"], "no decoder for protocol"),
    ],
)
def test_wrong_use_is_one_line_with_the_remedy(tmp_path, args, words):
    assert failed(call("record", *args, cwd=tmp_path), 2, words)
    assert files(tmp_path) == []


def test_a_foreign_index_is_left_alone(tmp_path):
    for index in ("{}", "nonsense"):
        (tmp_path / "INDEX.json").write_text(index)
        assert failed(call("record", "-", tmp_path / "one", input="data: 1\n\n"), 2, "no index of recordings")
        assert (tmp_path / "INDEX.json").read_text() == index
    (tmp_path / "file").write_text("")
    assert failed(call("record", "-", tmp_path / "file" / "one", input="data: 1\n\n"), 1, "cannot write")


def test_a_protocol_is_noted_by_its_name(tmp_path):
    call("record", "-", tmp_path / "one", "-p", "anthropic", input="data: 1\n\n")
    assert load_recordings(tmp_path)["one"].info["api"] in ms.protocols.decoder_names()
