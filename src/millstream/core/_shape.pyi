from collections.abc import Iterable
from typing import Any, TypeAlias, final

from typing_extensions import disjoint_base

from millstream.core._parser import Parser
from millstream.core._rules import Rules

_Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["Fed", "FrameReader", "Layout", "Shapes", "layouts_of"]

@final
class Layout:
    @property
    def sound(self) -> bool: ...
    @property
    def plain(self) -> Any: ...

def layouts_of(fields: dict[type, str], whole: type) -> dict[type, Layout]: ...

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

@disjoint_base
class Fed:
    _reader: FrameReader | None
    ended: bool
    _closed: bool
    _busy: bool
    _moved: bool
    _begun: bool
    _interrupted: bool
    _usual: bool
    _model: str
    _id: str
    _heard: set[int]
    _out: list[Any]
    _usage: Any
    _reasons: dict[int, str]
    _tools: Any
    _parser: Any
    limits: Any
    provider: Any
    _grown: list[str] | None
    def _restart(self) -> None: ...
    def feed(self, data: _Buffer) -> list[Any]: ...

@final
class FrameReader:
    def __new__(
        cls,
        parser: Parser,
        max_frame: int,
        shapes: Shapes | None,
        rules: Rules | None,
        layouts: dict[type, Layout],
        direct: bool,
    ) -> FrameReader: ...
    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def compiles(self) -> int: ...
    @property
    def message(self) -> Any: ...
    @property
    def reading(self) -> bool: ...
    def feed(self, decoder: Any, data: Any, out: list[Any]) -> None: ...
    def close(self, decoder: Any, out: list[Any]) -> None: ...
    def settle(self, decoder: Any) -> None: ...
    def reset(self) -> None: ...
