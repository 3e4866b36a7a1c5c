import pytest

import millstream as ms
from millstream.cli._progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def feed(progress, clock, *steps):
    for seconds, event in steps:
        clock.now += seconds
        progress.add(event)
    return progress


def test_nothing_is_known_at_the_beginning(clock):
    progress = Progress(clock=clock)
    assert progress.first_s is None
    assert progress.deltas_per_s is None
    assert (progress.n_events, progress.n_characters, progress.n_stalls, progress.longest_gap_s) == (0, 0, 0, 0.0)
    assert not progress.is_complete


def test_counts_and_collects(clock):
    call = ms.ToolCall("c", "f", b"{}", {})
    progress = feed(
        Progress(clock=clock),
        clock,
        (0, ms.Start("m")),
        (0, ms.ReasoningDelta("hm")),
        (0, ms.TextDelta("a")),
        (0, ms.TextDelta("bc")),
        (0, ms.ToolCallDelta("c", "f", "{}")),
        (0, call),
        (0, ms.Usage(input_tokens=1)),
        (0, ms.Finish(ms.FinishReason.TOOL_CALLS)),
    )
    assert progress.counts["text_delta"] == 2
    assert progress.n_events == 8
    assert (progress.model, progress.text, progress.reasoning, progress.tool_calls) == ("m", "abc", "hm", [call])
    assert progress.n_characters == 5
    assert progress.is_complete
    assert progress.deltas_per_s is None  # no time has passed


def test_times(clock):
    progress = Progress(clock=clock)
    feed(progress, clock, (0.25, ms.Start()), (0.25, ms.TextDelta("a")))
    assert progress.first_s == 0.5
    assert progress.deltas_per_s is None
    feed(progress, clock, (0.25, ms.TextDelta("b")), (0.25, ms.TextDelta("c")), (5, ms.Finish(ms.FinishReason.STOP)))
    assert progress.first_s == 0.5
    assert progress.deltas_per_s == 4.0


def test_stalls_are_gaps_after_the_first_delta(clock):
    progress = Progress(stall_s=1.0, clock=clock)
    feed(progress, clock, (9, ms.Start()), (9, ms.TextDelta("a")))
    assert (progress.n_stalls, progress.longest_gap_s) == (0, 0.0)
    feed(progress, clock, (1, ms.TextDelta("b")))
    assert (progress.n_stalls, progress.longest_gap_s) == (0, 1.0)
    feed(progress, clock, (1.5, ms.TextDelta("c")), (3, ms.TextDelta("d")), (0.5, ms.TextDelta("e")))
    assert (progress.n_stalls, progress.longest_gap_s) == (2, 3.0)


@pytest.mark.parametrize("reason", ["error", "incomplete"])
def test_these_ends_are_not_complete(clock, reason):
    error = ms.Error(ms.StreamError("no"))
    progress = feed(Progress(clock=clock), clock, (0, error), (0, ms.Finish(ms.FinishReason(reason))))
    assert progress.error is error
    assert not progress.is_complete
