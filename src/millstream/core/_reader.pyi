from typing import Any, final

from millstream.core._frames import Frames
from millstream.core._layout import Layout
from millstream.core._parser import Parser
from millstream.core._rules import Rules
from millstream.core._shape import Shapes

__all__ = ["FrameReader"]

@final
class FrameReader(Frames):
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
    def message(self) -> Any: ...
    @property
    def reading(self) -> bool: ...
    def feed(self, decoder: Any, data: Any, out: list[Any]) -> None: ...
    def close(self, decoder: Any, out: list[Any]) -> None: ...
    def settle(self, decoder: Any) -> None: ...
    def reset(self) -> None: ...
