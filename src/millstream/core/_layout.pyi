from typing import Any, final

__all__ = ["Layout", "layouts_of"]

@final
class Layout:
    @property
    def sound(self) -> bool: ...
    @property
    def plain(self) -> Any: ...

def layouts_of(fields: dict[type, str], whole: type) -> dict[type, Layout]: ...
