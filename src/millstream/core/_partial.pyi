from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal, TypeAlias, final

# collections.abc.Buffer exists from Python 3.12; at run time any contiguous exporter will do.
_Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["LosslessFloat", "StringCache", "parse_partial_json"]

@final
class LosslessFloat:
    def __init__(self, raw: _Buffer | Iterable[int]) -> None: ...
    def as_decimal(self) -> Decimal: ...
    def __float__(self) -> float: ...
    def __bytes__(self) -> bytes: ...

@final
class StringCache:
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def clear(self) -> None: ...

def parse_partial_json(
    data: str | _Buffer,
    mode: Literal["off", "on", "trailing-strings"] | bool = "trailing-strings",
    *,
    allow_inf_nan: bool = True,
    cache_mode: Literal["all", "keys", "none"] | bool = "all",
    catch_duplicate_keys: bool = False,
    float_mode: Literal["float", "decimal", "lossless-float"] = "float",
    cache: StringCache | None = None,
) -> Any: ...
