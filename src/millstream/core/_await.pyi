from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, final

from typing_extensions import disjoint_base

__all__ = ["Steps", "Waiter", "Watched"]

_T = TypeVar("_T")

class Steps:
    def send(self, value: Any) -> Any: ...
    def __next__(self) -> Any: ...

@disjoint_base
class Waiter:
    _find_task: Callable[[], Any] | None
    _waiting: bool
    _consumer: Any
    _cancelling: int
    _ending: bool
    _asked: int
    _again: Any

@final
class Watched(Steps, Coroutine[Any, Any, _T]):
    def __init__(self, waiter: Waiter, coroutine: Coroutine[Any, Any, _T], on_wait: Callable[[], object]) -> None: ...
    def __await__(self) -> Generator[Any, Any, _T]: ...
    def throw(self, *error: Any) -> Any: ...
    def close(self) -> None: ...
