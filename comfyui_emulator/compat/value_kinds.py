"""Types with a widget for a structured value: colours, boxes, curves, ranges (ComfyUI 0.33)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from comfyui_emulator.compat.fields import (
    ComfyTypeI,
    ComfyTypeIO,
    JsonObject,
    WidgetInput,
    arguments_by_name,
    given,
)


class _ValueInput(WidgetInput):
    """An input that is a widget only. Each subclass lists its further arguments in order, with their defaults."""

    _own: ClassVar[Sequence[str]] = ("default", "advanced")
    _default: ClassVar[Any] = None

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        socketless: bool | None = True,
        *positional: Any,
        **options: Any,
    ) -> None:
        values = arguments_by_name(f"{type(self).__qualname__}({id!r})", self._own, positional, options)
        shown = {name: values.pop(name, None) for name in ("default", "force_input", "advanced")}
        if shown["default"] is None:
            shown["default"] = copy.copy(self._default)
        super().__init__(id, display_name, optional, tooltip, socketless=socketless, **shown)
        self._more: JsonObject = values

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | given(**self._more)


class _Compare(_ValueInput):
    _own = ("advanced",)


class ImageCompare(ComfyTypeI):
    """Two pictures with a slider."""

    io_type, Type, Input = "IMAGECOMPARE", dict, _Compare


class _Colour(_ValueInput):
    _own, _default = ("advanced", "default"), "#ffffff"


class Color(ComfyTypeIO):
    """A colour, ``#rrggbb``."""

    io_type, Type, Input = "COLOR", str, _Colour


class _Colours(_ValueInput):
    _default: ClassVar[list[str]] = []


class Colors(ComfyTypeIO):
    """Several colours."""

    io_type, Type, Input = "COLORS", list[str], _Colours


class _Layered(_ValueInput):
    _default: ClassVar[JsonObject] = {}


class Compositor(ComfyTypeIO):
    """The state of a canvas with layers."""

    io_type, Type, Input = "COMPOSITOR", dict, _Layered


class _Box(_ValueInput):
    _own = ("default", "component", "force_input")
    _default: ClassVar[JsonObject] = {"x": 0, "y": 0, "width": 512, "height": 512}


class BoundingBox(ComfyTypeIO):
    """A rectangle: ``x``, ``y``, ``width``, ``height``."""

    io_type, Type, Input = "BOUNDING_BOX", dict, _Box


class _Boxes(_ValueInput):
    _default: ClassVar[list[JsonObject]] = []


class BoundingBoxes(ComfyTypeIO):
    """Several rectangles."""

    io_type, Type, Input = "BOUNDING_BOXES", list[dict[str, Any]], _Boxes


class _Points(_ValueInput):
    _default: ClassVar[list[tuple[float, float]]] = [(0.0, 0.0), (1.0, 1.0)]

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        points = [list(point) for point in self.default]
        return super().as_dict() | {"default": {"points": points, "interpolation": "monotone_cubic"}}


class Curve(ComfyTypeIO):
    """A curve through points."""

    io_type, Input = "CURVE", _Points


class Histogram(ComfyTypeIO):
    """Counts of bins."""

    io_type, Type = "HISTOGRAM", list[int]


class _Limits(_ValueInput):
    _own = (
        "default", "display", "gradient_stops", "show_midpoint", "midpoint_scale", "value_min", "value_max", "advanced",
    )  # fmt: skip
    _default: ClassVar[JsonObject] = {"min": 0.0, "max": 1.0}


class Range(ComfyTypeIO):
    """Two limits: ``min`` and ``max``."""

    io_type, Input = "RANGE", _Limits


__all__ = [
    "BoundingBox",
    "BoundingBoxes",
    "Color",
    "Colors",
    "Compositor",
    "Curve",
    "Histogram",
    "ImageCompare",
    "Range",
]
