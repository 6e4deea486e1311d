"""Annotations: the Python type of each parameter, as an object and as source text."""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from discomfort.workflow.interface.declarations import Parameter

SCALARS: Mapping[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool, "COMBO": str, "COLOR": str}
_FILES = {
    "IMAGE": "ImageInput",
    "MASK": "ImageInput",
    "AUDIO": "AudioInput",
    "VIDEO": "VideoInput",
    "LATENT": "LatentInput",
}
_LITERAL = (str, int, bool, type(None))


def can_be_keyword(name: str) -> bool:
    """Whether a call can have ``name=`` as it stands in source code.

    Python reads identifiers in their NFKC form, so a name in another form would never arrive. Names that begin with two
    underscores are changed inside of classes.
    """
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and unicodedata.normalize("NFKC", name) == name
    )


def is_literal(value: object) -> bool:
    """Whether ``typing.Literal`` takes the value."""
    return isinstance(value, _LITERAL)


def literals_of(parameter: Parameter) -> tuple[Any, ...] | None:
    """The choices, each once, if the type of the parameter is a ``Literal`` of them."""
    if parameter.upload is not None or not parameter.choices or not all(map(is_literal, parameter.choices)):
        return None
    return tuple({(type(choice), choice): choice for choice in parameter.choices}.values())


def file_alias(parameter: Parameter) -> str | None:
    """The alias for a value that is a file, a name in ``discomfort.functions.input_types`` such as ``ImageInput``."""
    kinds = parameter.type.split(",")
    found = next((_FILES[kind] for kind in kinds if kind in _FILES), None)
    if parameter.upload is None:
        # Not the name of a file in a node: pictures may be several.
        return "ImagesInput" if found == "ImageInput" else found
    return found or "FileInput"


def scalar_types(parameter: Parameter) -> tuple[type, ...]:
    """The Python types of a value that JSON can have; empty where it is a file, or where anything goes.

    A type of ComfyUI may be several, as in ``INT,FLOAT``.
    """
    if file_alias(parameter) is not None:
        return ()
    if parameter.choices:
        return tuple(dict.fromkeys(type(choice) for choice in parameter.choices))
    kinds = parameter.type.split(",")
    if not all(kind in SCALARS for kind in kinds):
        return ()
    return tuple(dict.fromkeys(SCALARS[kind] for kind in kinds))


def number_bounds(parameter: Parameter) -> tuple[float | None, float | None]:
    """The least and the greatest number, whole ones for an integer; ``None`` where there is no bound."""
    kinds = scalar_types(parameter)
    if parameter.choices or not (int in kinds or float in kinds):
        return None, None
    low, high = finite(parameter.minimum), finite(parameter.maximum)
    if float not in kinds:
        low, high = None if low is None else math.ceil(low), None if high is None else math.floor(high)
    return low, high


def finite(bound: float | None) -> float | None:
    """A bound, if it excludes anything."""
    return bound if bound is not None and math.isfinite(bound) else None


def type_text(parameter: Parameter) -> str:
    """The type as source code: ``float``, ``Literal['a', 'b']``, ``ImageInput``, ``Any``."""
    literals = literals_of(parameter)
    if literals is not None:
        return f"Literal[{', '.join(map(repr, literals))}]"
    alias = file_alias(parameter)
    return alias if alias is not None else _union_text(scalar_types(parameter))


def python_type(parameter: Parameter) -> Any:
    """The type as an object. A file has its alias as a string, since the alias itself is too long to read."""
    literals = literals_of(parameter)
    if literals is not None:
        return Literal[literals]
    alias = file_alias(parameter)
    if alias is not None:
        return alias
    union: Any = None
    for kind in scalar_types(parameter):
        union = kind if union is None else union | kind
    return Any if union is None else union


def _union_text(kinds: Iterable[type]) -> str:
    return " | ".join("None" if kind is type(None) else kind.__name__ for kind in kinds) or "Any"
