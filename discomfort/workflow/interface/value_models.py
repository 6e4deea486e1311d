"""Pydantic models of the values of a call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from discomfort._json import JsonObject
from discomfort.workflow.interface.annotations import file_alias, literals_of, number_bounds, python_type
from discomfort.workflow.interface.declarations import Parameter
from discomfort.workflow.interface.json_schemas import schema_of_inputs

if TYPE_CHECKING:
    from pydantic import BaseModel

_SURROGATES = re.compile("[\ud800-\udfff]")


def model_of_inputs(parameters: Iterable[Parameter], name: str) -> type[BaseModel]:
    """A model with a field for each parameter. Its JSON schema is that of :func:`schema_of_inputs`.

    A name that a field cannot have, such as ``copy`` or ``_a``, is the alias of a field with another name, so
    ``model_dump(by_alias=True)`` returns the values as a call takes them.
    """
    from pydantic import ConfigDict, create_model

    known = list(parameters)

    def replace(schema: JsonObject) -> None:
        schema.clear()
        schema.update(schema_of_inputs(known, title=name))
        del schema["$schema"]

    settings = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), json_schema_extra=replace
    )
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(known):
        field = parameter.name if _can_be_field(parameter.name) else f"field_{index}"
        while field != parameter.name and any(field == other.name for other in known):
            field += "_"
        fields[field] = _field(parameter, None if field == parameter.name else parameter.name)
    return create_model(name, __config__=settings, **fields)


def _can_be_field(name: str) -> bool:
    from pydantic import BaseModel

    return name.isidentifier() and not name.startswith("_") and not hasattr(BaseModel, name)


def _field(parameter: Parameter, alias: str | None) -> Any:
    from pydantic import Field

    low, high = number_bounds(parameter)
    # A factory: pydantic would write a default value into its own schema, and warn where JSON has no such value.
    given: dict[str, Any] = {} if parameter.is_required else {"default_factory": partial(deepcopy, parameter.default)}
    told = Field(**given, alias=alias, ge=low, le=high, description=parameter.description or None)
    return _annotation(parameter), told


def _annotation(parameter: Parameter) -> Any:
    from pydantic import AfterValidator

    if file_alias(parameter) is not None:
        return Annotated[Any, AfterValidator(_check_file)]
    if parameter.choices and not _can_be_literals(literals_of(parameter)):
        choices = parameter.choices
        return Annotated[Any, AfterValidator(lambda value: _check_choice(value, choices))]
    return python_type(parameter)


def _can_be_literals(literals: tuple[Any, ...] | None) -> bool:
    """Whether pydantic takes them: a name of a file that is not UTF-8 has a lone surrogate."""
    return literals is not None and not any(isinstance(each, str) and _SURROGATES.search(each) for each in literals)


def _check_file(value: Any) -> Any:
    """Whether it is one is seen when the call reads it; what never is one is refused here."""
    if (
        value is None
        or isinstance(value, bool | int | float | complex)
        or (isinstance(value, str | bytes) and not value)
    ):
        raise ValueError("expected a file: its path, bytes, a picture, an array, or an output of another call")
    return value


def _check_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"expected one of {', '.join(map(repr, choices[:20]))}")
    return value
