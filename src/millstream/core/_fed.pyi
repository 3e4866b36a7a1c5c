from typing import Any, TypeAlias

from typing_extensions import disjoint_base

from millstream.core._reader import FrameReader

_Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["Fed"]

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
