from typing_extensions import disjoint_base

__all__ = ["Frames"]

@disjoint_base
class Frames:
    joins: bool
    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def compiles(self) -> int: ...
