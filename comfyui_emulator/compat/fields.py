"""Inputs and outputs of nodes in ComfyUI's newer schema, and their definitions in ``/object_info``.

Names, arguments and definitions are those of ``comfy_api.latest.io`` in ComfyUI 0.33.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

JsonObject = dict[str, Any]


class FolderType(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """Folders that hold files."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """Kinds of upload buttons; the values are the names of their options."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """Widgets for numbers."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(str, Enum):  # noqa: UP042 - as in ComfyUI: str() does not give the value
    """What happens to a number when a prompt was queued."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


def given(**values: Any) -> JsonObject:
    """Only the options that are not ``None``."""
    return {key: value for key, value in values.items() if value is not None}


class RemoteOptions:
    """A combo whose options the frontend fetches from a route."""

    def __init__(
        self,
        route: str,
        refresh_button: bool,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
    ) -> None:
        self.route, self.refresh_button, self.control_after_refresh = route, refresh_button, control_after_refresh
        self.timeout, self.max_retries, self.refresh = timeout, max_retries, refresh

    def as_dict(self) -> JsonObject:
        """The definition."""
        return given(**vars(self))


class _Field:
    Parent: ClassVar[Any] = None

    @property
    def io_type(self) -> Any:
        """The type's name."""
        return self.Parent.io_type

    @property
    def Type(self) -> Any:  # noqa: N802 - ComfyUI's name
        """The Python type of the values."""
        return self.Parent.Type


class Input(_Field):
    """An input without a widget; it only takes a link."""

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: JsonObject | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id, self.display_name, self.optional, self.tooltip, self.lazy = id, display_name, optional, tooltip, lazy
        self.extra_dict = extra_dict or {}
        self.rawLink, self.advanced = raw_link, advanced

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        names = ("display_name", "optional", "tooltip", "lazy", "rawLink", "advanced")
        return given(**{name: getattr(self, name) for name in names}) | given(**self.extra_dict)

    def get_io_type(self) -> Any:
        """The type in the definition."""
        return self.io_type


def arguments_by_name(called: str, names: Sequence[str], positional: Sequence[Any], options: JsonObject) -> JsonObject:
    """All arguments of a call by name; positional ones have the first ``names``. Raises ``TypeError`` for others."""
    unknown = sorted(options.keys() - set(names))
    if unknown or len(positional) > len(names):
        raise TypeError(f"{called}: unexpected {unknown or 'too many values'}; it takes {', '.join(names)}")
    return dict(zip(names, positional, strict=False)) | options


_COMMON = ("extra_dict", "raw_link", "advanced")
"""The last arguments of every input."""


class WidgetInput(Input):
    """An input with a widget.

    Further options have ComfyUI's names. Each subclass lists its own in ``_options``, in ComfyUI's order of arguments:
    the name, the default, and the name in the definition.
    """

    _options: ClassVar[Sequence[tuple[str, Any, str]]] = ()
    default: Any
    socketless: bool | None
    force_input: bool | None

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        *positional: Any,
        **options: Any,
    ) -> None:
        values = arguments_by_name(f"{type(self).__qualname__}({id!r})", self._names(), positional, options)
        common = (values.pop(name, None) for name in _COMMON)
        super().__init__(id, display_name, optional, tooltip, lazy, *common)
        for name, default, _ in self._all_options():
            setattr(self, name, values.get(name, default))
        self.widget_type: str | None = values.get("widget_type")

    @classmethod
    def _all_options(cls) -> list[tuple[str, Any, str]]:
        first = [("default", None, "default")]
        last = [("socketless", None, "socketless"), ("force_input", None, "forceInput")]
        return [*first, *cls._options, *last]

    @classmethod
    def _names(cls) -> list[str]:
        names = [name for name, *_ in cls._all_options()]
        # Only the plain widget input takes another widget's type, before force_input.
        return [*(names if cls._options else [*names[:2], "widget_type", *names[2:]]), *_COMMON]

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        own = {shown: getattr(self, name) for name, _, shown in self._all_options()}
        return super().as_dict() | given(widgetType=self.widget_type, **own)

    def get_io_type(self) -> Any:
        """The type of the widget if it differs from the input's own, else the input's own."""
        return self.widget_type if self.widget_type is not None else super().get_io_type()


class Output(_Field):
    """An output."""

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id, self.display_name = id, display_name or id
        self.tooltip, self.is_output_list = tooltip, is_output_list

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return given(display_name=self.display_name, tooltip=self.tooltip, is_output_list=self.is_output_list)

    def get_io_type(self) -> Any:
        """The type in the definition."""
        return self.io_type


class ComfyTypeI:
    """A type with inputs only. Every type has its own input and output classes, which refer back to it."""

    Type: Any = Any
    io_type: ClassVar[Any] = None
    Input: ClassVar[type[Any]] = Input

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the subclass its own input and output classes."""
        super().__init_subclass__(**kwargs)
        for name in ("Input", "Output"):
            base = getattr(cls, name, None)
            if base is not None:
                setattr(cls, name, type(name, (base,), {"Parent": cls, "__qualname__": f"{cls.__name__}.{name}"}))


class ComfyTypeIO(ComfyTypeI):
    """A type with inputs and outputs."""

    Output: ClassVar[type[Any]] = Output


def comfytype(io_type: str, **_: Any) -> Any:
    """Class decorator: define a type of that name, with the class's own ``Input`` and ``Output`` if it has them."""

    def decorate(cls: type) -> type:
        base = cls if issubclass(cls, ComfyTypeI) else type(cls.__name__, (cls, ComfyTypeIO), {})
        base.io_type = io_type  # type: ignore[attr-defined]
        return base

    return decorate


def Custom(io_type: str) -> type[ComfyTypeIO]:  # noqa: N802 - ComfyUI's name
    """Return a new type of that name."""
    return type("CustomComfyType", (ComfyTypeIO,), {"io_type": io_type})


class DynamicInput(Input):
    """An input that stands for several inputs. It has fewer arguments than others."""

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: JsonObject | None = None,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict)


def declared(inputs: Sequence[Input]) -> JsonObject:
    """Inputs in the form of ``/object_info``."""
    found: JsonObject = {"required": {}}
    for each in inputs:
        options = each.as_dict()
        options.pop("optional", None)
        section = found.setdefault("optional" if each.optional else "required", {})
        section[each.id] = (each.get_io_type(), options)
    return found


class MultiInput(Input):
    """An input that takes several types. ``id`` may be an input; its widget is then shown."""

    def __init__(
        self,
        id: str | Input,  # noqa: A002 - ComfyUI's name
        types: Sequence[Any],
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: JsonObject | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.input_override: Input | None = None
        if isinstance(id, Input):
            self.input_override = shown = copy.copy(id)
            id, optional = shown.id, shown.optional or optional  # noqa: A001
            tooltip = shown.tooltip if shown.tooltip is not None else tooltip
            display_name = shown.display_name if shown.display_name is not None else display_name
            lazy = shown.lazy if shown.lazy is not None else lazy
            if isinstance(shown, WidgetInput):
                shown.widget_type = shown.get_io_type()
        super().__init__(id, display_name, optional, tooltip, lazy, extra_dict, raw_link, advanced)
        self._types = types

    @property
    def io_types(self) -> list[Any]:
        """The types that the input takes."""
        return [kind if isinstance(kind, type) else type(kind) for kind in self._types]

    def get_io_type(self) -> str:
        """The names of all types, the widget's first."""
        names = [str(kind.io_type) for kind in self.io_types]
        if self.input_override is not None:
            names.insert(0, str(self.input_override.get_io_type()))
        return ",".join(dict.fromkeys(names))

    def as_dict(self) -> JsonObject:
        """The options of the definition, including the widget's."""
        return (self.input_override.as_dict() if self.input_override is not None else {}) | super().as_dict()
