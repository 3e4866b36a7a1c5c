"""A function's parameters as one record: its JSON schema for the model, and the reading of what the model sends.

The schema and the validation are msgspec's, or pydantic's if there is anything of pydantic in the annotations: the
same rule as for `ObjectStream`. Parameters that the model shall not see (`ToolContext`) are left out.
Cost: made once for a tool; reading is one decode.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import field as dataclass_field
from dataclasses import fields, make_dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

import msgspec

from millstream.errors import MissingExtra
from millstream.messages._annotations import is_of_pydantic, needs_pydantic
from millstream.tools._context import ToolContext
from millstream.tools._docstring import read_docstring

__all__ = ["Arguments", "ArgumentsInvalid"]

PLAIN = (str, int, float, bool, type(None), Enum)  # defaults that the schema can tell
MANY_ERRORS = 5  # pydantic names all that is wrong; so many are enough for a model to correct itself


class ArgumentsInvalid(ValueError):
    """What the model sent does not fit. The text says where and why, for the model."""


class Reader(Protocol):
    """A back end, for one function."""

    schema: dict[str, Any]

    def read(self, data: bytes) -> dict[str, Any]: ...


class Arguments:
    """What a function takes.

    Args: fn: any callable whose parameters have types and names.
    Raises: TypeError: it has parameters that no JSON object can give; names them. MissingExtra: pydantic is needed.

    Attributes: description: of the docstring. schema: JSON schema, an object. names: what the model gives.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        parameters = inspect.signature(fn).parameters
        hints = _hints(fn)
        self._positional: list[str] = []
        self._context: list[str] = []
        given: list[tuple[str, Any, Any]] = []
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"parameter {parameter} of {_called(fn)}: the model gives arguments by their names")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                self._positional.append(name)
            hint = hints.get(name, parameter.empty)
            if hint is parameter.empty:
                remedy = "; of a method, make a tool of the bound one" if name == "self" else ""
                raise TypeError(f"parameter {name!r} of {_called(fn)} has no type{remedy}")
            if _is_context(hint):
                self._context.append(name)
            elif not isinstance(fn, partial) or name not in fn.keywords:
                given.append((name, hint, parameter.default))
        self.names = [name for name, _, _ in given]
        self.description, said = read_docstring(_documentation(fn), self.names)
        use_pydantic = any(needs_pydantic(hint) or is_of_pydantic(default) for _, hint, default in given)
        make = _pydantic_reader if use_pydantic else _msgspec_reader
        try:
            self._reader = make([(name, hint, default, said.get(name, "")) for name, hint, default in given])
        except MissingExtra:
            raise
        except Exception as error:
            raise TypeError(f"no JSON schema can be made for {_called(fn)}: {error}") from error
        self.schema = self._reader.schema

    def read(self, data: bytes, context: ToolContext) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and named arguments.

        Raises: ArgumentsInvalid.
        """
        named = self._reader.read(data) | dict.fromkeys(self._context, context)
        return [named.pop(name) for name in self._positional], named


# --- the two back ends -------------------------------------------------------------------------------------------


class _Msgspec:
    def __init__(self, record: type, schema: dict[str, Any]) -> None:
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(record)
        self.schema = schema

    def read(self, data: bytes) -> dict[str, Any]:
        try:
            record = self._decoder.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ArgumentsInvalid(str(error)) from error
        return {name: getattr(record, name) for name in record.__struct_fields__}


def _msgspec_reader(given: list[tuple[str, Any, Any, str]]) -> Reader:
    members: list[Any] = []
    for name, hint, default, said in given:
        told = Annotated[hint, msgspec.Meta(description=said)] if said and not _has_description(hint) else hint
        if default is inspect.Parameter.empty:
            members.append((name, told))
        elif isinstance(default, PLAIN):
            members.append((name, told, default))
        else:  # no JSON, or nothing that msgspec would keep as it is
            members.append((name, told, msgspec.field(default_factory=partial(_same, default))))
    record = msgspec.defstruct("ToolArguments", members, kw_only=True, forbid_unknown_fields=True)
    (root,), defs = msgspec.json.schema_components([record])
    schema = defs.pop(root["$ref"].rpartition("/")[2])
    if defs:
        schema["$defs"] = defs
        schema = _renamed(schema)
    return _Msgspec(record, _untitled(schema))


def _same(value: Any) -> Any:
    return value


def _renamed(node: Any) -> Any:
    """The schema with its references where JSON schema has them."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/components/schemas/", "#/$defs/")
            if key == "$ref" and isinstance(value, str)
            else _renamed(value)
            for key, value in node.items()
        }
    return [_renamed(item) for item in node] if isinstance(node, list) else node


class _Pydantic:
    def __init__(self, record: type, adapter: Any, invalid: type[Exception]) -> None:
        self._adapter = adapter
        self._invalid = invalid
        self._names = [member.name for member in fields(record)]
        self.schema: dict[str, Any] = _untitled(adapter.json_schema(mode="validation"))

    def read(self, data: bytes) -> dict[str, Any]:
        try:
            record = self._adapter.validate_json(data)
        except self._invalid as error:
            raise ArgumentsInvalid(_told(error)) from error
        return {name: getattr(record, name) for name in self._names}


def _pydantic_reader(given: list[tuple[str, Any, Any, str]]) -> Reader:
    try:
        import pydantic
    except ModuleNotFoundError as error:
        raise MissingExtra("these types are validated by pydantic: pip install 'millstream[pydantic]'") from error
    members: list[tuple[str, Any, Any]] = []
    for name, hint, default, said in given:
        told = hint
        if said and not _has_description(hint) and getattr(default, "description", None) is None:
            told = Annotated[hint, pydantic.Field(description=said)]
        if default is inspect.Parameter.empty:
            members.append((name, told, dataclass_field()))
        elif isinstance(default, PLAIN) or is_of_pydantic(default):
            members.append((name, told, default))
        else:
            members.append((name, told, dataclass_field(default_factory=partial(_same, default))))
    record = make_dataclass(
        "Arguments", members, kw_only=True, namespace={"__pydantic_config__": pydantic.ConfigDict(extra="forbid")}
    )
    return _Pydantic(record, pydantic.TypeAdapter(record), pydantic.ValidationError)


def _told(error: Any) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{'.'.join(map(str, one['loc'])) or 'the arguments'}: {one['msg']}" for one in found[:MANY_ERRORS]]
    more = len(found) - MANY_ERRORS
    return "; ".join(said) + (f" (and {more} more)" if more > 0 else "")


def _untitled(node: Any, *, names: bool = False) -> Any:
    """The schema without the titles that are made of names: they cost tokens and say nothing."""
    if isinstance(node, dict):
        return {
            key: _untitled(value, names=key in ("properties", "$defs") and not names)
            for key, value in node.items()
            if names or key != "title" or not isinstance(value, str)
        }
    return [_untitled(item) for item in node] if isinstance(node, list) else node


# --- what the annotations say ------------------------------------------------------------------------------------


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters; names in strings are also looked up where the function is made a tool."""
    target: Any = fn.func if isinstance(fn, partial) else fn
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target).__call__  # an object that can be called
    if inspect.isclass(target):
        target = target.__init__
    # Of the parameters only: what a function returns need not be known at run time.
    said = {name: one for name, one in getattr(target, "__annotations__", {}).items() if name != "return"}
    holder = type("Parameters", (), {"__annotations__": said})
    names = getattr(inspect.unwrap(target), "__globals__", {})
    try:
        return get_type_hints(holder, names, include_extras=True)
    except NameError:
        pass
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("millstream."):
        frame = frame.f_back
    try:
        return get_type_hints(holder, names, dict(frame.f_locals), include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{_called(fn)}: the type {error.name!r} is not known where the tool is made; import it at run time "
            "(not under TYPE_CHECKING), or make the tool where the type is defined"
        ) from error


def _called(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _documentation(fn: Any) -> str | None:
    of = fn.func if isinstance(fn, partial) else fn
    if not inspect.isroutine(of) and not inspect.isclass(of):
        of = type(of) if type(of).__call__.__doc__ is None else type(of).__call__
    return inspect.getdoc(of)


def _is_context(hint: Any) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, ToolContext)
    return any(_is_context(arg) for arg in get_args(hint))


def _has_description(hint: Any) -> bool:
    metadata = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return any(getattr(one, "description", None) for one in metadata)
