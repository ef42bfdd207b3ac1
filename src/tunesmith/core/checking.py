"""Plain values (from YAML, flags or a form) into a dataclass, with types checked and every complaint named by its field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from tunesmith.core.errors import RecipeError, UnknownNameError

T = TypeVar("T")


def checked(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from `values`.

    Args:
        cls: a dataclass whose fields have types that YAML can express.
        values: field name -> value.
        where: what the values describe, for the message.

    Raises:
        RecipeError: a value of the wrong type or out of its choices.

    Example:
        >>> @dataclasses.dataclass
        ... class Point: x: int
        >>> checked(Point, {"x": "3"}, "point")
        Point(x=3)
    """
    from pydantic import TypeAdapter, ValidationError

    known = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise UnknownNameError(f"field of {where} called", key, known)
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        problems = []
        for item in error.errors():
            path = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            if path:
                problems.append(f"field '{path}': {message[0].lower()}{message[1:]} (got {item['input']!r})")
            else:
                problems.append(message)
        raise RecipeError(f"{where}: " + "; ".join(problems)) from error
