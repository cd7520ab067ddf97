"""Lines held to the schema more strictly than readers may: no unknown type, no unknown key."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from parakeet_coreml.protocol.schema import json_schema


@cache
def published() -> Draft202012Validator:
    """Return what hosts validate with."""
    return Draft202012Validator(json_schema())


@cache
def strict() -> Draft202012Validator:
    """Return the schema without what is kept open for later versions."""
    schema = json_schema()
    schema["oneOf"].remove({"$ref": "#/$defs/Other"})
    for shape in schema["$defs"].values():
        shape["additionalProperties"] = False
    return Draft202012Validator(schema)


def shape_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition that a line is an instance of."""
    schema = json_schema()
    found = [
        shape
        for shape in schema["$defs"].values()
        if Draft202012Validator({**schema, "oneOf": [shape]}).is_valid(line)
        and "const" in shape["properties"].get("type", {})
    ]
    assert len(found) == 1, line
    return dict(found[0])


def check_line(line: Mapping[str, Any]) -> None:
    """Fail unless this is a line we may write: known keys, in the order of the table."""
    errors = [error.message for error in strict().iter_errors(line)]
    assert not errors, f"{json.dumps(line)}: {errors}"
    order = [key for key in shape_of(line)["properties"] if key in line]
    assert list(line) == order, f"{json.dumps(line)}: its keys come in another order"
