"""Interfaces with odd names, choices, bounds and texts, for property tests."""

from __future__ import annotations

import keyword
from typing import Any

from hypothesis import strategies as st

from discomfort.workflow.interface.parameters import NO_DEFAULT, Interface, InterfaceOutput, Parameter

_TEXT = st.text(max_size=12) | st.sampled_from(
    [*"\"'\\#\n\0|", '"""', "'''", "a\\", "\\N{DASH}", "{x}", "\r\n", "\ud800", "é", "…", "*/", "%s"]
)
_WORDS = (
    "self cls _self values _values __debug__ __a copy json model_config model_fields schema prompt größe ﬁne 字 "
    "field_0 scale int float str bool Literal Any ImageInput property overload load name outputs history timeout "
    "output in set help no-tile a=b a.b -x --x _typing Image save workflow connector"
)
NAMES = (
    st.sampled_from([*keyword.kwlist, *keyword.softkwlist, *_WORDS.split(), "a b", "", "x" * 300])
    | st.from_regex(r"[a-z_]{1,4}", fullmatch=True)
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
_INTEGERS = st.integers() | st.sampled_from([2**64 - 1, -(2**63), 10**300])
_NUMBERS = _INTEGERS | st.floats()
_CHOICES = st.lists(_TEXT | _INTEGERS | st.booleans() | st.none() | st.floats(), max_size=5) | st.just(
    [f"model {i} it's.safetensors" for i in range(300)]
)
_TYPES = st.sampled_from(
    [
        *("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGE", "MASK", "AUDIO", "VIDEO", "LATENT", "MODEL", "*"),
        *("COLOR", "INT,FLOAT", "IMAGE,MASK", "A B", ""),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=4,
)


@st.composite
def parameters(draw: st.DrawFn, name: str) -> Parameter:
    """A parameter of that name; its fields need not fit together, as a workflow's need not."""
    choices: list[Any] | None = draw(st.none() | _CHOICES)
    bounds = st.none() | _NUMBERS
    return Parameter(
        name=name,
        type=draw(_TYPES),
        source="app",
        default=draw(st.just(NO_DEFAULT) | _JSON | st.sampled_from(choices or [0])),
        minimum=draw(bounds),
        maximum=draw(bounds),
        choices=None if choices is None else tuple(choices),
        upload=draw(st.sampled_from([None, None, "image", "audio", "video", "file"])),
        label=draw(_TEXT),
        description=draw(_TEXT),
        is_hidden=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def interfaces(draw: st.DrawFn) -> Interface:
    """An interface of a few inputs and outputs."""
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    outputs = draw(st.lists(NAMES, max_size=4, unique=True))
    return Interface(
        {name: draw(parameters(name)) for name in names},
        {
            name: InterfaceOutput(
                name=name,
                type=draw(_TYPES),
                source="app",
                node_id=draw(_TEXT),
                label=draw(_TEXT),
                description=draw(_TEXT),
            )
            for name in outputs
        },
    )
