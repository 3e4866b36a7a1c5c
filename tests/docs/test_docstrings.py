"""What `help()` owes a stranger: each public callable names its parameters and the errors that its own body raises.

A parameter counts as named where its name stands as a word: in the docstring, in that of the class or of the method
that it overrides, or, of a record, in a string below the field. Not each needs an entry in `Args:`; a sentence will do.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, is_typeddict

import pytest

import millstream as ms

ROOMS = ["streams", *ms._ROOMS, "core", "protocols.history", "protocols.requests"]

# Classes of which the reader is given instances and makes none: what `__init__` takes is nobody's business.
GIVEN = {"compat.Acceleration", "objects.View", "relay.Subscription", "tools.Run"}


def public() -> Iterator[tuple[str, Any, type | None]]:
    """Name, callable and class of every function, class and method of a room's `__all__`, each once."""
    seen = set()
    for room in ROOMS:
        module = importlib.import_module(f"millstream.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            if id(thing) in seen or not str(getattr(thing, "__module__", "")).startswith("millstream"):
                continue
            seen.add(id(thing))
            if inspect.isclass(thing):
                if not issubclass(thing, (enum.Enum, BaseException)) and not is_typeddict(thing):
                    yield f"{room}.{name}", thing, None
                    ours = [cls for cls in thing.__mro__ if cls.__module__.startswith("millstream")]
                    for key, member in {key: it for cls in reversed(ours) for key, it in vars(cls).items()}.items():
                        function = getattr(member, "__func__", member)
                        is_new = id(function) not in seen and hasattr(function, "__name__")
                        if is_new and not key.startswith("_") and callable(function):
                            seen.add(id(function))
                            yield f"{room}.{name}.{key}", function, thing
            elif callable(thing) and hasattr(thing, "__name__"):
                yield f"{room}.{name}", thing, None


def source(thing: Any) -> ast.AST | None:
    """Its syntax tree; None for what is compiled."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    except (OSError, TypeError):
        return None


def fields_explained(cls: type) -> set[str]:
    """The fields of a record that have a string below them."""
    names: set[str] = set()
    tree = source(cls)
    if isinstance(tree, ast.ClassDef):
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                names.add(ast.unparse(field.target))
    return names


def text_of(thing: Any, owner: type | None) -> str:
    """What the reader is shown: the docstring, for a class those of its bases and of `__init__` too."""
    texts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        ours = [cls for cls in thing.__mro__ if cls.__module__.startswith("millstream")]
        texts += [cls.__doc__ or "" for cls in ours]
        texts += [vars(cls)["__init__"].__doc__ or "" for cls in ours if "__init__" in vars(cls)]
        texts += [" ".join(fields_explained(cls)) for cls in ours]
    elif owner is not None:
        ours = [cls for cls in owner.__mro__ if cls.__module__.startswith("millstream")]
        texts += [cls.__doc__ or "" for cls in ours]
        texts += [getattr(cls, thing.__name__).__doc__ or "" for cls in ours if hasattr(cls, thing.__name__)]
    return "\n".join(texts)


def parameters(thing: Any) -> list[str]:
    try:
        found = list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        found = stubbed(thing)
    if getattr(thing, "_is_protocol", False):
        return []
    return [name for name in found if name not in {"self", "cls", "args", "kwargs"} and not name.startswith("_")]


def stubbed(cls: type) -> list[str]:
    """What making one takes, by the stub of the extension: a compiled class does not tell."""
    extension = Path(importlib.import_module(cls.__module__).__file__)
    tree = ast.parse(extension.with_name(extension.name.partition(".")[0] + ".pyi").read_text())
    [stub] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__]
    making = [node.args for node in stub.body if getattr(node, "name", "") in {"__init__", "__new__"}]
    return [argument.arg for args in making for argument in (*args.posonlyargs, *args.args, *args.kwonlyargs)]


def raised(thing: Any) -> set[str]:
    """The classes in `raise X(...)` of the body itself."""
    tree = source(thing)
    if inspect.isclass(thing) or tree is None:
        return set()
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id[0].isupper()}


def unsaid(thing: Any, owner: type | None = None) -> tuple[list[str], list[str]]:
    """The parameters and the errors that its text does not name."""
    text = text_of(thing, owner)
    silent = [parameter for parameter in parameters(thing) if not re.search(rf"\b{parameter}\b", text)]
    return silent, sorted(error for error in raised(thing) if error not in text)


PUBLIC = {name: (thing, owner) for name, thing, owner in public()}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_names_each_parameter_and_each_error(name: str) -> None:
    thing, owner = PUBLIC[name]
    assert text_of(thing, owner).strip(), f"{name} has no docstring"
    silent, errors = unsaid(thing, owner)
    assert name in GIVEN or not silent, f"{name} does not say what these are: {silent}"
    assert not errors, f"{name} raises {errors} unannounced"


def test_what_is_not_said_is_found() -> None:
    def halve(number: float, times: int = 1) -> float:
        """Halve a number. Raises: TypeError: it is none."""
        if not isinstance(number, float):
            raise TypeError(number)
        if times < 0:
            raise ValueError(times)
        return number / 2**times

    assert unsaid(halve) == (["times"], ["ValueError"])
    assert len(PUBLIC) > 300
    assert any(name.endswith(".debounce") for name in PUBLIC), "operators are looked at, though they are inherited"
    assert stubbed(ms.SSEParser)[:2] == ["cls", "mode"]
