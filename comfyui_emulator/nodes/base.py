"""Declarations of built-in nodes: a function with its inputs and outputs.

The declarations match ComfyUI 0.33.0. ``v3`` selects the newer of the two dialects in which ``/object_info`` describes
nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from comfyui_emulator.dynamic_inputs import AUTOGROW, DYNAMIC_COMBO
from comfyui_emulator.nodes.core_names import ESSENTIALS, FUNCTIONS
from comfyui_emulator.nodes.wording import in_torch_words, must_have

Image = npt.NDArray[np.float32]
"""``[batch, height, width, channel]``, 0 to 1."""

Mask = npt.NDArray[np.float32]
"""``[batch, height, width]``, 0 to 1."""

Entry = list[Any]
MATCHTYPE = "COMFY_MATCHTYPE_V3"
MAX_SIDE = 16384
SEED_MAX = 2**64 - 1

METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]

_NEWER_HOOKS = {"IS_CHANGED": "fingerprint_inputs", "VALIDATE_INPUTS": "validate_inputs"}
"""What the newer schema calls them."""

BUILT_IN: dict[str, tuple[type, str | None]] = {}
"""Every built-in class with its display name. The imports of the modules fill it."""

F = TypeVar("F", bound=Callable[..., Any])


def link(kind: str, **extra: Any) -> Entry:
    """An input that takes only a link, of one type or of several (``IMAGE,MASK``)."""
    return [kind, extra] if extra else [kind]


def integer(default: int | None = None, low: int | None = None, high: int | None = None, **extra: Any) -> Entry:
    """A whole number; ``extra`` takes further options such as ``step``."""
    return ["INT", _options(default, low, high) | extra]


def number(default: float | None = None, low: float | None = None, high: float | None = None, **extra: Any) -> Entry:
    """A float."""
    return ["FLOAT", _options(default, low, high) | extra]


def text(**extra: Any) -> Entry:
    """A string."""
    return ["STRING", extra]


def switch(default: bool | None = None, **extra: Any) -> Entry:
    """A boolean."""
    return ["BOOLEAN", _options(default, None, None) | extra]


def choice(options: Sequence[str], **extra: Any) -> Entry:
    """A choice from a list of options."""
    return [list(options), extra] if extra else [list(options)]


def matching(template_id: str, allowed: str = "*", **extra: Any) -> Entry:
    """A link of the type that all inputs and outputs with this template share; only the frontend checks it.

    Such outputs have the type ``MATCHTYPE``, and :func:`declare` gets their templates as ``matchtypes``.
    """
    return [MATCHTYPE, {**extra, "template": {"template_id": template_id, "allowed_types": allowed}}]


def growing(
    name: str,
    template: Entry,
    *,
    prefix: str | None = None,
    names: Sequence[str] = (),
    least: int = 1,
    most: int = 10,
    **extra: Any,
) -> Entry:
    """Copies of an input, of which ``least`` are required; the node receives a dict of those that are given.

    The copies are called ``prefix`` and a number from 0 to ``most - 1``, or by ``names``. ``name`` is the template's
    own name, which only the definition shows.
    """
    kind, options = template[0], (template[1] if len(template) > 1 else {})
    repeated: dict[str, Any] = {"input": {"required": {name: [kind, options]}}}
    repeated |= {"names": list(names), "min": least} if names else {"prefix": prefix, "min": least, "max": most}
    return [AUTOGROW, {**extra, "template": repeated}]


def branching(
    options: Mapping[str, Mapping[str, Entry]],
    *,
    optional: Mapping[str, Mapping[str, Entry]] | None = None,
    **extra: Any,
) -> Entry:
    """A choice whose options bring inputs of their own, the required ones and the ``optional`` ones.

    The node receives a dict with the choice under the input's own name, and the inputs of the option.
    """
    listed: list[dict[str, Any]] = []
    for key, inputs in options.items():
        sections: dict[str, Any] = {"required": dict(inputs)}
        if optional and key in optional:
            sections["optional"] = dict(optional[key])
        listed.append({"key": key, "inputs": sections})
    return [DYNAMIC_COMBO, {**extra, "options": listed}]


def side(default: int = 512, low: int = 0, **extra: Any) -> Entry:
    """A length in pixels."""
    return integer(default, low, MAX_SIDE, **({"step": 1} | extra))


def _options(default: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    given = {"default": default, "min": low, "max": high}
    return {key: value for key, value in given.items() if value is not None}


def _dialect(entry: Entry, *, v3: bool) -> Entry:
    if not v3:
        return entry
    kind, options = entry[0], (entry[1] if len(entry) > 1 else {})
    if isinstance(kind, list):
        return ["COMBO", {"multiselect": False, "options": kind} | options]
    if kind == AUTOGROW:
        template = options["template"]
        options = options | {"template": template | {"input": _sections(template["input"])}}
    elif kind == DYNAMIC_COMBO:
        options = options | {"options": [o | {"inputs": _sections(o["inputs"])} for o in options["options"]]}
    return [kind, options]


def _sections(inputs: Mapping[str, Mapping[str, Entry]]) -> dict[str, dict[str, Entry]]:
    return {
        section: {name: _dialect(entry, v3=True) for name, entry in entries.items()}
        for section, entries in inputs.items()
    }


HIDDEN_METADATA = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
HIDDEN_METADATA_V3 = {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}
"""The same for the newer dialect."""


def declare(
    inputs: Mapping[str, Entry] | None,
    outputs: str,
    *,
    module: str,
    category: str,
    title: str | None = "",
    optional: Mapping[str, Entry] | None = None,
    hidden: Mapping[str, Any] | None = None,
    names: str = "",
    lists: Sequence[bool | None] = (),
    matchtypes: Sequence[str | None] = (),
    v3: bool = False,
    **flags: Any,
) -> dict[str, Any]:
    """Class attributes for a declaration; ``outputs`` and ``names`` are separated by spaces.

    Dynamic inputs (:func:`growing`, :func:`branching`) need ``v3``. ``matchtypes`` are the templates of outputs of the
    type ``MATCHTYPE``, by position. ``flags`` are further attributes, such as ``OUTPUT_NODE``.
    """
    types = tuple(outputs.split())
    declared: dict[str, Any] = {}
    if inputs is not None:
        declared["required"] = {key: _dialect(entry, v3=v3) for key, entry in inputs.items()}
        if optional:
            declared["optional"] = {key: _dialect(entry, v3=v3) for key, entry in optional.items()}
        if hidden:
            declared["hidden"] = dict(hidden)
    attributes: dict[str, Any] = {
        "RETURN_TYPES": types,
        "RETURN_NAMES": tuple(names.split()) or types,
        "OUTPUT_IS_LIST": tuple(lists) or (False,) * len(types),
        "OUTPUT_MATCHTYPES": list(matchtypes) or None,
        "CATEGORY": category,
        "RELATIVE_PYTHON_MODULE": module,
        "SCHEMA_V3": v3,
        "DISPLAY_NAME": title,
    }
    if inputs is not None:
        attributes["CONSTANT_INPUTS"] = declared
        attributes["INPUT_TYPES"] = classmethod(lambda _cls: declared)
    return attributes | flags


def add(name: str, cls: type) -> None:
    """Make ``cls`` a built-in node. An empty title means the class name."""
    title: str | None = cls.DISPLAY_NAME  # type: ignore[attr-defined]
    if name in ESSENTIALS:
        cls.ESSENTIALS_CATEGORY = ESSENTIALS[name]  # type: ignore[attr-defined]
    BUILT_IN[name] = cls, name if title == "" else title


def _called_as_in_comfyui(name: str, function: F, *, v3: bool, hook: str = "") -> F:
    """A copy of a function that Python names like ComfyUI's where an argument is missing; ``hook``: not the node's own.

    A copy, because one function may be several nodes.
    """
    called = FUNCTIONS.get(name, f"{name}.execute" if v3 else "")
    if hook:
        called = f"{called.partition('.')[0] or name}.{_NEWER_HOOKS.get(hook, hook) if v3 else hook}"
    if not called or not isinstance(function, FunctionType):
        return function
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, called
    return cast("F", copy)


def node(
    name: str,
    inputs: Mapping[str, Entry] | None,
    outputs: str,
    *,
    touches: Mapping[str, str] | None = None,
    **declaration: Any,
) -> Callable[[F], F]:
    """Make the decorated function the node ``name``. It returns its only output, or a tuple or dict.

    ``touches`` maps array inputs to the attribute that ComfyUI's node reads first, in ComfyUI's order. A value without
    that attribute fails with ComfyUI's error. numpy's errors become torch's (:mod:`~comfyui_emulator.nodes.wording`).
    """

    def decorate(function: F) -> F:
        v3 = bool(declaration.get("v3"))
        worded = in_torch_words(_called_as_in_comfyui(name, function, v3=v3))

        def run(_self: object, **arguments: Any) -> Any:
            for key, attribute in (touches or {}).items():
                if key in arguments and not (arguments[key] is None and key in (declaration.get("optional") or {})):
                    must_have(arguments[key], attribute)
            result = worded(**arguments)
            return result if isinstance(result, tuple | dict) else (result,)

        attributes = declare(inputs, outputs, **declaration)
        for hook in ("IS_CHANGED", "VALIDATE_INPUTS", "INPUT_TYPES", "check_lazy_status"):
            if callable(attributes.get(hook)):
                attributes[hook] = staticmethod(_called_as_in_comfyui(name, attributes[hook], v3=v3, hook=hook))
        add(name, type(name, (), attributes | {"FUNCTION": "run", "run": run, "__doc__": function.__doc__}))
        return function

    return decorate
