"""JSON schemas in the form that strict providers demand, of answers and of the arguments of tools. Pure.

Each object is closed (`additionalProperties: false`) and all its properties are required; no `oneOf`, no defaults, no
`$ref` with siblings, an object at the root.
Cost: O(schema). Source: platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
"""

from __future__ import annotations

from typing import Any

from millstream.errors import Inexpressible

__all__ = ["strict_schema"]

# Keywords whose value is a schema, a list of schemas, a dict of schemas.
ONE = {"items", "additionalProperties", "not", "contains", "propertyNames"}
MANY = {"anyOf", "allOf", "oneOf", "prefixItems"}
NAMED = {"properties", "$defs", "definitions", "patternProperties"}


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a strict copy of a JSON schema; the given one stays as it is. Raises: Inexpressible."""
    strict: dict[str, Any] = _strict(schema, schema, "#", ())
    if "$ref" in strict:  # the root must be the object itself; its definition stays only for those who refer to it
        ref, defs = strict["$ref"], strict["$defs"]
        strict = _strict(_resolved(schema, ref), schema, "#", ())
        if not _refers([strict, defs], ref):
            del defs[ref.rpartition("/")[2]]
        strict |= {"$defs": defs} if defs else {}
    if strict.get("type") != "object":
        raise Inexpressible(
            "a strict schema must be an object at its root; wrap the type in a class with one field", field="#"
        )
    return strict


def _strict(node: Any, root: dict[str, Any], place: str, inlined: tuple[str, ...]) -> Any:
    if not isinstance(node, dict):
        return node
    ref = node.get("$ref")
    beside = node.keys() - {"$ref", "$defs", "definitions", "default"}
    if ref is not None and beside:
        if ref in inlined:
            raise Inexpressible(
                f"a strict schema cannot say {place}: a recursive reference with its own annotations", field=place
            )
        merged = {**_resolved(root, ref), **{key: value for key, value in node.items() if key != "$ref"}}
        return _strict(merged, root, place, (*inlined, ref))
    if len(node.get("allOf", ())) == 1:
        rest = {key: value for key, value in node.items() if key != "allOf"}
        return _strict({**node["allOf"][0], **rest}, root, place, inlined)
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("default", "discriminator"):
            continue
        if key in ONE:
            out[key] = _strict(value, root, f"{place}/{key}", inlined)
        elif key in MANY:
            name = "anyOf" if key == "oneOf" else key
            out[name] = [_strict(item, root, f"{place}/{key}/{i}", inlined) for i, item in enumerate(value)]
        elif key in NAMED:
            out[key] = {name: _strict(item, root, f"{place}/{key}/{name}", inlined) for name, item in value.items()}
        else:
            out[key] = value
    if out.get("type") == "object" or "properties" in out:
        _close(out, place)
    return out


def _close(out: dict[str, Any], place: str) -> None:
    if "properties" not in out or out.get("additionalProperties"):
        raise Inexpressible(
            f"a strict schema cannot say an object with any keys ({place}): "
            "use a list of objects with a key and a value, or strict=False",
            field=place,
        )
    out["required"] = [*out["properties"]]
    out["additionalProperties"] = False


def _refers(node: Any, ref: str) -> bool:
    if isinstance(node, dict):
        return node.get("$ref") == ref or any(_refers(value, ref) for value in node.values())
    return isinstance(node, list) and any(_refers(item, ref) for item in node)


def _resolved(root: dict[str, Any], ref: str) -> dict[str, Any]:
    node: Any = root
    for name in ref.removeprefix("#/").split("/"):
        node = node[name.replace("~1", "/").replace("~0", "~")]
    found: dict[str, Any] = node
    return found
