from typing import Any, Literal, TypeAlias, final

from millstream.core._delta import Delta
from millstream.core._parser import Parser

# collections.abc.Buffer exists from Python 3.12; at run time any contiguous exporter will do.
_Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["JSONParser"]

@final
class JSONParser(Parser):
    def __new__(
        cls,
        *,
        max_depth: int = 128,
        max_digits: int = 4300,
        numbers: Literal["atomic", "eager"] = "atomic",
        duplicate_keys: Literal["last", "error"] = "last",
        allow_nan: bool = False,
        multiple: bool = False,
        deltas: bool = True,
    ) -> JSONParser: ...
    @property
    def offset(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    @property
    def value(self) -> Any: ...
    def snapshot(self) -> Any: ...
    def feed(self, data: str | _Buffer) -> list[Delta]: ...
    def close(self) -> list[Delta]: ...
    def reset(self) -> None: ...
