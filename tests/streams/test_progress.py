"""How far a text has come: characters, words, rates, reported at most once a second."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.streams.progress import ProgressReport, TextProgress

FINISH = ms.Finish(ms.FinishReason.STOP)


class Hand:
    time = 0.0

    def now(self) -> float:
        return self.time


def made(start: float = 0.0, **options: Any) -> tuple[TextProgress, Hand, list[ProgressReport]]:
    hand, reports = Hand(), []
    hand.time = start
    return TextProgress(reports.append, now=hand.now, **options), hand, reports


def words(*texts: str) -> int:
    progress = TextProgress()
    progress.observe(ms.TextDelta(text) for text in texts)
    return progress.words


def test_r0080_characters_grow_by_each_delta() -> None:
    """Character count grows by each delta."""
    progress, _, _ = made()
    for n, text in ((5, "hello"), (6, "é"), (7, "😀")):
        progress.add(ms.TextDelta(text))
        assert progress.chars == n


@pytest.mark.parametrize(
    ("texts", "n"),
    [(("hel", "lo wo", "rld"), 2), (("a ", "b"), 2), (("a", " b"), 2), (("  ", " "), 0), (("a", " ", "b"), 2),
     (("a\u2003b",), 2), (("",), 0), (("a", "", "b"), 1), ((" a ",), 1)],
)  # fmt: skip
def test_r0081_words_are_counted_across_chunk_borders(texts: tuple[str, ...], n: int) -> None:
    """Word count grows by whitespace-separated fields."""
    assert words(*texts) == n


@given(st.lists(st.text(alphabet="ab \n\u2003é")))
def test_words_do_not_depend_on_the_cuts(texts: list[str]) -> None:
    assert words(*texts) == len("".join(texts).split())


def test_words_of_different_blocks_and_answers_are_different_words() -> None:
    progress, _, _ = made()
    progress.observe([ms.TextDelta("he", choice=0), ms.TextDelta("yo", choice=1), ms.TextDelta("llo", choice=0)])
    progress.observe([ms.TextDelta("next", index=1)])
    assert progress.words == 3


def test_r0082_the_start_time_is_recorded() -> None:
    """Start time recorded."""
    progress, _, _ = made(5.0)
    assert progress.start_time == 5.0


def test_r0083_it_reports_at_most_once_per_second() -> None:
    """Last update time; progress reported at most once per second."""
    progress, hand, reports = made()
    for tenths in range(36):
        hand.time = tenths / 10
        progress.add(ms.TextDelta("x"))
    assert [report.elapsed for report in reports] == [1.0, 2.0, 3.0]
    assert [report.chars for report in reports] == [11, 21, 31]
    assert progress.last_update == 3.0
    slower, hand, reports = made(every=2.0)
    hand.time = 1.9
    slower.add(ms.Raw(""))
    assert reports == []
    hand.time = 2.0
    slower.add(ms.Raw(""))
    assert len(reports) == 1


def test_r0084_rates_are_guarded_against_zero() -> None:
    """Characters per second."""
    progress, hand, _ = made()
    progress.add(ms.TextDelta("four four"))
    assert (progress.report().chars_per_second, progress.report().words_per_second) == (0.0, 0.0)
    hand.time = 2.0
    assert (progress.report().chars_per_second, progress.report().words_per_second) == (4.5, 1.0)


def test_r0085_usage_may_be_absent_or_empty() -> None:
    """USAGE handled when usage present, ignored when None."""
    progress, _, _ = made()
    assert progress.report().usage is None
    assert "tokens" not in str(progress.report())
    progress.add(ms.Usage())
    assert str(progress.report()).endswith("tokens: ? in, ? out, ? in all")


def test_r0086_tokens_are_reported() -> None:
    """Token report input/output/total."""
    progress, hand, _ = made()
    progress.add(ms.TextDelta("ab cd"))
    progress.add(ms.Usage(input_tokens=3, output_tokens=4, total_tokens=7))
    hand.time = 2.0
    assert str(progress.report()) == "5 characters, 2 words in 2.0 s (2.5 characters/s), tokens: 3 in, 4 out, 7 in all"


def test_r0087_there_is_one_final_report() -> None:
    """Final report at FINISH: total chars, elapsed, rate."""
    progress, hand, reports = made()
    progress.add(ms.TextDelta("abcd"))
    hand.time = 2.0
    usage = ms.Usage(output_tokens=1)
    progress.add(ms.Finish(ms.FinishReason.STOP, usage=usage))
    hand.time = 9.0
    progress.add(FINISH)
    progress.add(ms.TextDelta("late"))
    progress.close()
    assert reports == [progress.final]
    final = progress.report()
    assert (final.chars, final.elapsed, final.chars_per_second, final.usage, final.is_final) == (
        4,
        2.0,
        2.0,
        usage,
        True,
    )


def test_without_a_finish_close_makes_the_final_report() -> None:
    progress = TextProgress()
    progress.add(ms.TextDelta("x"))
    assert progress.final is None
    progress.close()
    assert progress.final is not None
    assert progress.final.chars == 1


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="every must be positive"):
        TextProgress(every=0)


def test_without_a_listener_the_figures_can_be_asked_for() -> None:
    hand = Hand()
    progress = TextProgress(now=hand.now, every=1.0)
    for _ in range(3):
        hand.time += 2.0
        progress.add(ms.TextDelta("one "))
    assert (progress.report().chars, progress.words, progress.last_update) == (12, 3, 6.0)
    progress.add(FINISH)
    assert progress.final is not None
    assert progress.final.is_final
