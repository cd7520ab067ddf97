"""The schema of every line, printed for hosts: JSON Schema or TypeScript, both from `types`."""

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from parakeet_coreml.protocol.json_lines import SCHEMA
from parakeet_coreml.protocol.types import LINES, PARTS

Schema = dict[str, Any]

JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def json_schema() -> Schema:
    """Return the schema of a line, draft 2020-12; unknown types and keys are allowed."""
    known = list(dict.fromkeys(_type_of(line) for line in LINES))
    other = {
        "description": "A type of a later version, to be ignored.",
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "not": {"enum": known}}},
    }
    shapes = {kind.__name__: _object(kind) for kind in (*LINES, *PARTS)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:parakeet-coreml:line:{SCHEMA}",
        "title": "A line of parakeet-coreml progressive-record",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in (*(k.__name__ for k in LINES), "Other")],
        "$defs": shapes | {"Other": other},
    }


def _type_of(line: type) -> str:
    """Return what a line has under `type`."""
    return str(get_args(get_type_hints(line)["type"])[0])


def _keys(kind: type) -> Iterator[tuple[str, Any, bool]]:
    """Yield each key of a shape, its type, and whether it is always there."""
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
    for key, hint in get_type_hints(kind, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        yield key, get_args(hint)[0] if optional else hint, key in required


def _object(kind: type) -> Schema:
    keys = list(_keys(kind))
    return {
        "description": kind.__doc__,
        "type": "object",
        "properties": {key: _value(hint) for key, hint, _ in keys},
        "required": [key for key, _, always in keys if always],
    }


def _value(hint: Any) -> Schema:  # noqa: ANN401  a type, or what typing makes of types
    """Return the schema of a value."""
    if get_origin(hint) is not Annotated:
        return _bare(hint)
    kind, *notes = get_args(hint)
    schema = _bare(kind)
    for note in notes:
        schema |= note if isinstance(note, dict) else {"description": note}
    return schema


def _bare(hint: Any) -> Schema:  # noqa: ANN401  likewise
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"const": inner[0]} if len(inner) == 1 else {"enum": [*inner]}
    if origin is UnionType:
        return {"type": [JSON_TYPES[kind] for kind in inner]}
    if origin is list:
        return {"type": "array", "items": _value(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(inner[1])}
    if is_typeddict(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"type": JSON_TYPES[hint]}


def typescript() -> str:
    """Return the schema as TypeScript declarations; `DictationEvent` is any line."""
    shapes = {name: shape for name, shape in json_schema()["$defs"].items() if name != "Other"}
    lines = "".join(f"\n  | {kind.__name__}" for kind in LINES)
    return "\n".join(
        (
            "// Written by `parakeet-coreml schema --typescript`.",
            "",
            *(_interface(name, shape) for name, shape in shapes.items()),
            "/** Any line. Ignore types and keys that are not listed: later versions add some. */",
            f"export type DictationEvent ={lines};",
        )
    )


def _interface(name: str, shape: Schema) -> str:
    lines = [f"/** {shape['description']} */", f"export interface {name} {{"]
    for key, value in shape["properties"].items():
        if "description" in value:
            lines.append(f"  /** {value['description']} */")
        mark = "" if key in shape["required"] else "?"
        lines.append(f"  {key}{mark}: {_type_name(value)};")
    return "\n".join((*lines, "}", ""))


def _type_name(value: Schema) -> str:
    """Return the TypeScript type of a value."""
    match value:
        case {"const": constant}:
            name = json.dumps(constant)
        case {"enum": choices}:
            name = " | ".join(map(json.dumps, choices))
        case {"examples": known}:  # editors complete these; others are taken too
            name = "\n    | ".join((*map(json.dumps, known), "(string & {})"))
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
        case {"items": item}:
            name = f"{_type_name(item)}[]"
        case {"additionalProperties": item}:
            name = f"Record<string, {_type_name(item)}>"
        case {"type": [*kinds]}:
            name = " | ".join(kinds)
        case {"type": kind}:
            name = "number" if kind == "integer" else kind
    return name
