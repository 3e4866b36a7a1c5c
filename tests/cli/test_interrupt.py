import signal
import sys
from itertools import count

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


class Items:
    """Two items, and then the end. None is awaited after Ctrl-C."""

    def __init__(self):
        self.left = ["a", "b"]
        self.pressed = False

    def __iter__(self):
        return self

    def __next__(self):
        assert not self.pressed, "it waits though Ctrl-C was pressed"
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


def test_ctrl_c_is_heard_at_whatever_instruction_it_comes():
    def interrupted(at):
        items = Items()
        instructions = count()

        def trace(frame, event, arg):
            if frame.f_code is not CtrlC.interruptible.__code__:
                return None
            frame.f_trace_opcodes = True
            if next(instructions) == at:
                items.pressed = True
                signal.raise_signal(signal.SIGINT)
            return trace

        before = sys.gettrace()
        with CtrlC() as ctrl_c:
            sys.settrace(trace)
            try:
                taken = list(ctrl_c.interruptible(items))
            except KeyboardInterrupt:
                pass
            else:
                assert taken == ["a", "b"]
            finally:
                sys.settrace(before)
        return items.pressed

    tried = 0
    while interrupted(tried):
        tried += 1
    assert tried > 20


def test_the_handler_of_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with CtrlC():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
