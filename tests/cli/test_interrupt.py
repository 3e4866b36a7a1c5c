import signal

import pytest

from millstream.cli._interrupt import CtrlC


def test_ctrl_c_between_two_items_ends_before_the_next():
    taken = []

    def take(item):
        signal.raise_signal(signal.SIGINT)  # not here
        taken.append(item)

    with CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt):
        list(map(take, ctrl_c.interruptible(iter("abc"))))
    assert taken == ["a"]


def test_ctrl_c_while_an_item_is_awaited_ends_at_once():
    def items():
        yield "a"
        signal.raise_signal(signal.SIGINT)
        pytest.fail("not interrupted")

    taken = []
    with CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt):
        taken.extend(ctrl_c.interruptible(items()))
    assert taken == ["a"]
    with CtrlC() as ctrl_c:
        assert list(ctrl_c.interruptible(iter("ab"))) == ["a", "b"]


def test_the_handler_of_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with CtrlC():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
