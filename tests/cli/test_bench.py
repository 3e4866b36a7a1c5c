"""`millstream bench`: it measures what it says, wrong answers are noticed, and what is not installed is named."""

import json
import os
import statistics
import time
from pathlib import Path

import pytest

from cli.commands import Terminal, call, failed
from millstream.cli import bench, main
from millstream.cli.bench import _load, _measure
from millstream.cli.bench._measure import Contender, Group, Outcome, Work, measure
from millstream.events import TextDelta
from millstream.protocols import iter_events

JS = Path(__file__).parents[1] / "js"  # where npm was
os.environ.setdefault("MILLSTREAM_NODE_MODULES", str(JS))
GROUPS = {group.name: group for group in bench.groups()}
SLOW = pytest.mark.timeout(180)  # each works for five seconds of processor time
CONTENDERS = [(group, one) for group in GROUPS.values() for one in group.contenders]


# --- the loads ---


@pytest.mark.parametrize(("load", "size"), [(_load.chat(2000), 327), (_load.messages(2000), 118)])
def test_a_load_says_its_texts_in_its_bytes(load, size):
    events = iter_events(load.chunks(), load.protocol, shapes=False)
    assert [event.text for event in events if isinstance(event, TextDelta)] == load.texts
    assert statistics.mean(map(len, load.frames[:-1])) == pytest.approx(size, abs=2)
    assert b"".join(load.chunks()) == b"".join(load.groups(50)) == b"".join(load.frames)
    assert {len(chunk) for chunk in load.chunks()[:-1]} == {_load.CHUNK_BYTES}


def test_texts_are_recorded_ones_in_a_fixed_order():
    found = _load.texts(2000)
    assert len(set(found)) > 100
    assert len({len(text) for text in found}) > 8
    assert any(not text.isascii() for text in found)
    assert found != sorted(found)
    _load.texts.cache_clear()
    assert _load.texts(2000) == found


def test_a_document_is_what_it_says():
    data, value = _load.document(10_000)
    assert json.loads(data) == value
    assert 10_000 <= len(data) < 10_500


# --- the contenders ---


@pytest.mark.parametrize(("group", "one"), CONTENDERS, ids=lambda one: getattr(one, "name", None))
def test_every_contender_gives_the_right_answer(group, one):
    if one.missing():
        pytest.skip(f"not installed: {one.missing()}")
    work = one.make()
    try:
        assert work.answer() == group.answer()
        seconds = work.run()
        assert seconds is None or seconds > 0
    finally:
        work.close()


def test_the_first_of_each_group_is_ours_and_names_are_unique():
    assert all(group.contenders[0].name == "millstream" for group in GROUPS.values())
    assert all(len({one.name for one in group.contenders}) == len(group.contenders) for group in GROUPS.values())


# --- measuring ---


def spin(seconds):
    def run():
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return run


def group(*contenders, answer=1):
    return Group("name", "title", 10, "unit", lambda: answer, list(contenders))


def contender(name, seconds=0.0005, answer=1, **options):
    return Contender(name, lambda: Work(spin(seconds), lambda: answer), **options)


def test_ratios_are_to_the_first_within_a_round():
    found = measure(group(contender("ours", 0.001), contender("peer", 0.004)), 0.3)
    assert found.rounds >= _measure.MIN_ROUNDS
    assert found.row("peer").ratio == pytest.approx(4, rel=0.5)
    assert found.row("ours").ratios == [1.0] * found.rounds
    assert found.row("ours").ns == pytest.approx(0.001 / 10 * 1e9, rel=0.5)
    assert all(row.correct for row in found.rows)
    with pytest.raises(KeyError, match="nobody"):
        found.row("nobody")


def test_a_time_of_0_is_no_measurement(monkeypatch):
    monkeypatch.setattr(_measure, "process_time", lambda: 5.0)
    with pytest.raises(ValueError, match="the clock is too coarse"):
        measure(group(contender("ours")), 0.01)


def test_what_measures_itself_is_believed():
    found = measure(group(contender("ours"), Contender("peer", lambda: Work(lambda: 0.5, lambda: 1))), 0.01)
    assert found.row("peer").times == [0.5 / 10 * 1e9] * found.rounds


def test_a_wrong_answer_is_noticed():
    found = measure(group(contender("ours"), contender("peer", answer=2)), 0.01)
    assert [row.correct for row in found.rows] == [True, False]


def test_what_is_not_installed_is_left_out_and_named():
    found = measure(group(contender("ours"), contender("peer", needs=("json", "not_there", "nor_this"))), 0.01)
    assert [row.name for row in found.rows] == ["ours"]
    assert found.missing == {"peer": "not_there, nor_this"}


def test_work_is_closed_after_an_error():
    closed = []

    def fail():
        raise RuntimeError("broken")

    work = Work(fail, lambda: 1, lambda: closed.append(True))
    with pytest.raises(RuntimeError, match="broken"):
        measure(group(Contender("ours", lambda: work)), 0.01)
    assert closed == [True]


def test_progress_goes_up_to_the_whole():
    steps = []
    measure(group(contender("ours")), 0.02, steps.append)
    assert steps == sorted(steps)
    assert 0 < steps[0] <= steps[-1] <= 1


# --- the command ---


@SLOW
def test_json_is_one_object_with_every_row():
    done = call("bench", "text", "framing", "--seconds", "0.1", "--json", seconds=170)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() >= {"millstream", "python", "machine", "load", "date", "groups"}
    text, framing = found["groups"]
    assert [row["name"] for row in text["rows"]][:2] == ["millstream", "millstream, shapes=False"]
    for one in (text, framing):
        assert all(row["correct"] and row["ns"] > 0 for row in one["rows"])
        assert one["rows"][0]["times"] == 1
    sdk = next(row for row in text["rows"] if row["name"] == "OpenAI SDK")
    assert sdk["times"] > 50
    assert sdk["version"].count(".") == 2


@SLOW
def test_the_table_ends_with_ratios_and_says_what_is_missing(tmp_path):
    done = call(
        "bench", "framing", "--seconds", "0.1", seconds=170, MILLSTREAM_NODE_MODULES=str(tmp_path / "no folder")
    )
    assert done.returncode == 0, done.stderr
    assert "without eventsource-parser, node: not installed: " in " ".join(done.stdout.split())
    summary = done.stdout.partition("Times as long as millstream")[2]
    assert "httpx-sse" in summary
    assert " x" in summary


@SLOW
def test_a_program_that_is_missing_is_named():
    done = call("bench", "framing", "--seconds", "0.1", seconds=170, PATH="")
    assert done.returncode == 0, done.stderr
    assert "without eventsource-parser, node: not installed: node" in " ".join(done.stdout.split())


def test_the_summary_names_others_with_their_versions_and_not_what_is_ours(monkeypatch, capsys):
    some = group(
        contender("millstream"),
        contender("millstream, another way"),
        contender("of Python", package="pytest"),
        contender("of npm", package="no-package-of-python"),
    )
    monkeypatch.setattr(bench, "_measure_all", lambda chosen, seconds: [measure(some, 0.01)])
    assert main(["bench", "encode"]) == 0
    summary = capsys.readouterr().out.partition("Times as long as millstream")[2]
    assert f"of Python {pytest.__version__}" in summary
    assert "of npm" in summary
    assert "another way" not in summary


def test_a_terminal_sees_progress():
    with Terminal("bench", "encode", "--seconds", "1") as terminal:
        shown = terminal.read_all()
    assert "%" in shown
    assert "sse-starlette" in shown
    assert terminal.process.returncode == 0


def test_an_unknown_group_is_refused_with_the_names_of_all():
    assert failed(call("bench", "speed"), 2, "'speed'", *GROUPS)


def test_help_names_the_groups():
    assert ", ".join(GROUPS) in " ".join(call("bench", "--help").stdout.split())


def test_a_wrong_answer_of_ours_fails(monkeypatch, capsys):
    def wrong(group, seconds, on_step):
        rows = measure(group, 0.01).rows
        rows[0].correct = False
        return Outcome(group, rows, {}, 5)

    monkeypatch.setattr(bench, "measure", wrong)
    assert main(["bench", "encode", "--seconds", "0.1"]) == 1
    said = capsys.readouterr()
    assert "WRONG ANSWER" in said.out
    assert "wrong answer: encode (millstream)" in said.err
