import io

import pytest
from rich.console import Console

import millstream as ms
from millstream.cli._progress import Progress
from millstream.cli._view import PlainView, RichView, describe, facts, make_view, printable

HOSTILE = "\x1b]0;owned\x07[bold]b[/bold]\x9b31m\x7f\r\n\tend\x00"
HARMLESS = "]0;owned[bold]b[/bold]31m\n\tend"


def test_control_characters_are_taken_out():
    assert printable(HOSTILE) == HARMLESS
    kept = printable("".join(map(chr, range(0x100))))
    assert kept == "\t\n" + "".join(map(chr, range(0x20, 0x7F))) + "".join(map(chr, range(0xA0, 0x100)))
    assert printable("日本語 😀") == "日本語 😀"


def test_one_line_is_one_line():
    assert printable("a\n\tb\x1b  c\u2028d", one_line=True) == "a b c d"


def play(view, *events):
    progress = Progress(clock=lambda: 0.0)
    view.begin("act", progress)
    for event in events:
        progress.add(event)
        view.event(event)
    view.end()
    return progress


def test_plain_lines_are_written_when_they_are_complete():
    class Out(io.StringIO):
        n_flushed = 0

        def flush(self):
            self.n_flushed += 1

    out = Out()
    view = PlainView(out)
    view.begin("act", Progress())
    view.event(ms.TextDelta("one"))
    assert "one" not in out.getvalue()
    view.event(ms.TextDelta(" line\ntwo"))
    assert out.getvalue() == "\n== act\n  | one line\n"
    assert out.n_flushed == 2
    view.event(ms.ToolCall("c", "f\n", b'{"a": "\x1b"}'))
    view.event(ms.TextDelta("end"))
    view.end()
    lines = out.getvalue().splitlines()
    assert lines[3:6] == ["  | two", '  > f({"a": ""})', "  | end"]


def test_what_grows_is_one_line_for_each_state():
    out = io.StringIO()
    view = PlainView(out)
    view.begin("act", Progress())
    view.event(ms.TextDelta("half"))
    view.state({"a": HOSTILE})
    view.status(HOSTILE)
    lines = out.getvalue().splitlines()
    assert lines[2:4] == [
        "  | half",
        r'  = {"a":"\u001b]0;owned\u0007[bold]b[/bold]31m\u007f\r\n\tend\u0000"}'.replace(r"\u007f", ""),
    ]
    assert lines[4] == "  * " + " ".join(HARMLESS.split())


def test_what_grows_is_drawn_in_its_place():
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=20, color_system=None)
    view = RichView(console, clock=lambda: 0.0)
    view.begin("act", Progress(clock=lambda: 0.0))
    view.state({"a": 1})
    view.status("slow")
    view.state({"a": 12, "b": HOSTILE})
    view.status("[bold]done[/bold]\x1b")
    view.end()
    shown = console.file.getvalue()
    assert "slow" in shown
    last = shown[shown.rindex("act") :]
    assert '"a": 12,' in last
    assert '"a": 1\n' not in last
    assert "  [bold]done[/bold]\n" in last
    assert "\x1b]0" not in shown


def test_plain_text_of_a_model_cannot_command_the_terminal():
    out = io.StringIO()
    play(PlainView(out), ms.ReasoningDelta(HOSTILE), ms.Finish(ms.FinishReason.OTHER, "\x1bx\ny"))
    assert "\x1b" not in out.getvalue()
    assert "(x y)" in out.getvalue()


@pytest.mark.parametrize("kind", [ms.TextDelta, ms.ReasoningDelta])
def test_rich_text_of_a_model_is_neither_markup_nor_command(kind):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None, _environ={})
    times = iter(range(100))
    play(
        RichView(console, clock=lambda: next(times)),
        kind(HOSTILE),
        ms.ToolCall("c", "[red]f\x1b[2J", b"{}"),
        ms.Finish(ms.FinishReason.STOP),
    )
    shown = out.getvalue()
    assert "[bold]b[/bold]31m" in shown
    assert "[red]f[2J({})" in shown
    for code in ("\x1b]0;", "\x1b[2J", "\x9b", "\x07"):
        assert code not in shown


def test_rich_is_drawn_at_its_own_pace():
    out = io.StringIO()
    view = RichView(Console(file=out, force_terminal=True, width=80, _environ={}), clock=lambda: 0.0)
    view.line("[b]mine")
    assert "[b]mine" in out.getvalue()
    view.begin("act", Progress())
    drawn = out.getvalue()
    view.event(ms.TextDelta("a"))
    assert out.getvalue() == drawn
    view.end()


def test_facts_say_what_is_not_known():
    progress = Progress(clock=lambda: 0.0)
    assert facts(progress)[0] == "events: -"
    progress.add(ms.Finish(ms.FinishReason.STOP))
    assert facts(progress)[-1] == "finish: stop   usage: not told"


def test_usage_is_told():
    progress = Progress(clock=lambda: 0.0)
    progress.add(ms.Finish(ms.FinishReason.LENGTH, "max", ms.Usage(3, 4, 7)))
    assert facts(progress)[-1] == "finish: length (max)   usage: 3 in, 4 out"


def test_the_view_fits_the_output(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(make_view(io.StringIO()), PlainView)
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_view(out), RichView)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_view(out), PlainView)


def test_a_narrow_encoding_does_not_end_the_demo():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    make_view(out).line("日")
    assert raw.getvalue().strip() == b"?"


HOSTILE_NAME = "n\x1b[2J"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            ms.ToolCall("c", HOSTILE_NAME, b'{"a"', validity=ms.events.Validity.INCOMPLETE),
            'n[2J({"a") [incomplete: not to be run]',
        ),
        (ms.ToolResult("c", "f", {"a": [1, None]}), 'f gave {"a":[1,null]}'),
        (ms.ToolResult("c", "f", error="no\nway"), "f: no way"),
        (ms.ProviderToolCall("c", "search", {"q": 1}), 'the provider runs search({"q":1})'),
        (ms.ProviderToolResult("c", "search", "found"), 'the provider\'s search gave "found"'),
        (ms.ProviderToolResult("c", "search", error="none"), 'the provider\'s search gave "none"'),
        (ms.Citations((ms.Citation(url="http://a"), ms.Citation(title="B"))), "source: http://a, B"),
        (ms.Safety("violence", "block", note="no"), "block (violence) no"),
        (ms.Error(ms.StreamError("bad\x1b")), "error: bad"),
        (ms.Error(ms.StreamError("odd"), fatal=False), "warning: odd"),
        (ms.StepStart(2), "step 2"),
        (ms.Handoff("other"), "goes on with other"),
        (ms.File("image/png", b"1234"), "file image/png, 4 bytes"),
        (ms.File("image/png", url="http://a/b"), "file image/png, http://a/b"),
        (ms.ObjectDelta(("a", 0), "set", 1), "a.0 set 1"),
        (ms.Data({"x": {1}}, "mine"), 'mine {"x":[1]}'),
        (ms.Data(object), "data \"<class 'object'>\""),
        (ms.Raw('{"type": "ping"}', "ping"), 'unknown: ping {"type": "ping"}'),
        (ms.Start("m"), ""),
        (ms.TextDelta("text"), ""),
        (ms.Finish(ms.FinishReason.STOP), ""),
    ],
)
def test_every_event_that_is_no_text_is_told_in_a_line(event, said):
    assert describe(event) == said


def test_a_long_text_is_drawn_by_its_end_and_shown_whole_at_last():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, height=20, color_system=None, _environ={})
    times = iter(range(1000))
    view = RichView(console, clock=lambda: next(times))
    lines = [f"line {i}" for i in range(100)]
    play(view, ms.TextDelta("\n".join(lines[:90])), ms.TextDelta("\n" + "\n".join(lines[90:])))
    *_, drawn, last = out.getvalue().split("╭")
    assert "line 99 " in drawn
    assert "line 50 " not in drawn
    assert all(f"{line} " in last for line in lines)


def test_messages_have_a_time_a_name_and_their_lines():
    out = io.StringIO()
    PlainView(out).message(1.5, HOSTILE_NAME, "a\nb\x1b")
    assert out.getvalue() == "   1.500  n[2J  a\n          b\n"


def test_what_is_no_text_has_a_line_of_its_own_and_leaves_none_empty():
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=40, color_system=None, _environ={})
    call = ms.ToolCall("c", "f", b"{}")
    play(RichView(console), call, ms.TextDelta("ends\n"), call, ms.TextDelta("does not"), call)
    lines = [line.strip("│ ") for line in out.getvalue().splitlines()]
    at = lines.index("ends")
    assert lines[at - 1 : at + 4] == ["> f({})", "ends", "> f({})", "does not", "> f({})"]


def test_messages_in_colour_cannot_command_the_terminal():
    out = io.StringIO()
    RichView(Console(file=out, width=80, color_system=None, _environ={})).message(1.5, HOSTILE_NAME, "a\nb\x1b")
    assert out.getvalue() == "   1.500  n[2J  a\n          b\n"
