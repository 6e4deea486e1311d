"""Types whose inputs stand for several, or share a type: definitions as in ComfyUI 0.33.

What they mean for a prompt is in :mod:`comfyui_emulator.dynamic_inputs`. ComfyUI has them in this form since 0.8; match
types since 0.4.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from comfyui_emulator import dynamic_inputs
from comfyui_emulator.compat.fields import (
    ComfyTypeI,
    ComfyTypeIO,
    DynamicInput,
    Input,
    JsonObject,
    Output,
    WidgetInput,
    declared,
)
from comfyui_emulator.compat.kinds import AnyType

_MOST_NAMES = 100


class _Grown:
    """A template input, and the names of its copies."""

    def __init__(self, input: Input, names: Sequence[str], min: int) -> None:  # noqa: A002 - ComfyUI's names
        if isinstance(input, DynamicInput):
            raise TypeError(f"the input {input.id} is dynamic itself and cannot be a template")
        if min < 0 or not 1 <= len(names) <= _MOST_NAMES:
            raise ValueError(f"min must be at least 0, and there can be 1 to {_MOST_NAMES} names")
        self.input, self.names, self.min = copy.copy(input), list(names), min
        if isinstance(self.input, WidgetInput):
            self.input.force_input = True

    def as_dict(self) -> JsonObject:
        """The definition."""
        return {"input": declared([self.input])}


class TemplatePrefix(_Grown):
    """Copies with a prefix and a number."""

    def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:  # noqa: A002
        super().__init__(input, [f"{prefix}{number}" for number in range(max)], min)
        self.prefix, self.max = prefix, max

    def as_dict(self) -> JsonObject:
        """The definition."""
        return super().as_dict() | {"prefix": self.prefix, "min": self.min, "max": self.max}


class TemplateNames(_Grown):
    """Copies with names of their own."""

    def __init__(self, input: Input, names: Sequence[str], min: int = 1) -> None:  # noqa: A002
        super().__init__(input, names[:_MOST_NAMES], min)

    def as_dict(self) -> JsonObject:
        """The definition."""
        return super().as_dict() | {"names": self.names, "min": self.min}


class GrowingInput(DynamicInput):
    """An input that repeats as often as it is linked."""

    def __init__(self, id: str, template: _Grown, *common: Any, **named: Any) -> None:  # noqa: A002 - ComfyUI's name
        super().__init__(id, *common, **named)
        self.template = template

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | {"template": self.template.as_dict()}


class Autogrow(ComfyTypeI):
    """A list of inputs that grows as they are linked."""

    io_type, Type, Input = dynamic_inputs.AUTOGROW, dict[str, Any], GrowingInput
    TemplatePrefix, TemplateNames = TemplatePrefix, TemplateNames


class ComboOption:
    """An option of a dynamic combo, with its inputs."""

    def __init__(self, key: str, inputs: list[Input]) -> None:
        self.key, self.inputs = key, inputs

    def as_dict(self) -> JsonObject:
        """The definition."""
        return {"key": self.key, "inputs": declared(self.inputs)}


class DynamicComboInput(DynamicInput):
    """A choice whose options bring inputs of their own."""

    def __init__(self, id: str, options: list[ComboOption], *common: Any, **named: Any) -> None:  # noqa: A002 - ComfyUI's name
        super().__init__(id, *common, **named)
        self.options = options

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | {"options": [option.as_dict() for option in self.options]}


class DynamicCombo(ComfyTypeI):
    """A choice whose options bring inputs of their own."""

    io_type, Type, Input = dynamic_inputs.DYNAMIC_COMBO, dict[str, Any], DynamicComboInput
    Option = ComboOption


class MatchTemplate:
    """A type that several inputs and outputs share."""

    def __init__(self, template_id: str, allowed_types: Any = AnyType) -> None:
        self.template_id = template_id
        self.allowed_types = list(allowed_types) if isinstance(allowed_types, list | tuple) else [allowed_types]

    def as_dict(self) -> JsonObject:
        """The definition."""
        return {"template_id": self.template_id, "allowed_types": ",".join(t.io_type for t in self.allowed_types)}


class MatchInput(Input):
    """An input of the shared type."""

    def __init__(self, id: str, template: MatchTemplate, *common: Any, **named: Any) -> None:  # noqa: A002 - ComfyUI's name
        super().__init__(id, *common, **named)
        self.template = template

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | {"template": self.template.as_dict()}


class MatchOutput(Output):
    """An output of the shared type."""

    def __init__(
        self,
        template: MatchTemplate,
        id: str | None = None,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        if not id and not display_name:
            display_name = "MATCHTYPE"
        super().__init__(id, display_name, tooltip, is_output_list)
        self.template = template

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | {"template": self.template.as_dict()}


class MatchType(ComfyTypeIO):
    """A type that inputs and outputs share."""

    io_type, Input, Output = "COMFY_MATCHTYPE_V3", MatchInput, MatchOutput
    Template = MatchTemplate
