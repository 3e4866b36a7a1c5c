from collections.abc import Iterable
from typing import final

__all__ = ["Shape", "Shapes"]

@final
class Shapes:
    def __new__(
        cls,
        *,
        payload: Iterable[str],
        ignored: Iterable[str] = (),
        seldom: Iterable[str] = (),
        latest: Iterable[str] = (),
        padded: bool = False,
        meta: Iterable[str] = (),
    ) -> Shapes: ...
    def declared(self) -> dict[str, tuple[str, ...]]: ...

@final
class Shape: ...
