"""Four threads that get in each other's way as often as the interpreter lets them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

__all__ = ["in_four_threads"]


def in_four_threads(work: Callable[[int], None]) -> None:
    """Call `work` with 0 to 3, each in a thread of its own, and wait for all."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
