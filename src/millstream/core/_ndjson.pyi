from typing import Any, Literal, TypeAlias, final

from millstream.core._parser import Parser

# collections.abc.Buffer exists from Python 3.12; at run time any contiguous exporter will do.
_Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["NDJSONParser"]

@final
class NDJSONParser(Parser):
    def __new__(
        cls,
        *,
        decode: bool = True,
        on_error: Literal["raise", "skip", "yield"] = "raise",
        max_line_bytes: int = 8388608,
    ) -> NDJSONParser: ...
    @property
    def offset(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    def feed(self, data: _Buffer) -> list[Any]: ...
    def close(self) -> list[Any]: ...
    def reset(self) -> None: ...
