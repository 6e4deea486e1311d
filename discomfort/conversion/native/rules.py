"""Rules that were proven for one value of a workflow: its place in the prompt, and what arrives unchanged. Pure.

Text is split by what it contains, since a widget that changes text does so for certain characters: the frontend's
dynamic prompts choose at ``{a|b}`` and drop comments, names of files to save replace ``%date%`` and ``%node.widget%``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from discomfort._json import JsonObject
    from discomfort.workflow.javascript import Value

Kind = Literal["held", "text", "choice", "number", "switch"]

FEATURES: Final[Mapping[str, re.Pattern[str]]] = {
    "braces, bars, backslashes or comments": re.compile(r"[{}|]|//|/\*|\\(?![()])"),
    "escaped parentheses": re.compile(r"\\[()]"),
    "percent signs": re.compile("%"),
    "something between percent signs": re.compile("%[^%]+%"),
    "lines, marks or letters beyond ASCII": re.compile(r"[\n\t<>\[\]$#@*^~`\x80-\U0010ffff]|__|^\s|\s$"),
    "nothing": re.compile(r"\A\Z"),
    "a number or a constant": re.compile(
        r"\A\s*([+-]?[\d.]+(e[+-]?\d+)?|0x[\da-f]+|true|false|null|nan)\s*\Z", re.IGNORECASE
    ),
}
"""What a text may contain that has to be proven for each widget, by its name.

The frontend takes percent signs in pairs from the left: what stands between the second and the third is text again.
"""

FILE_NAME: Final = re.compile(r"\.\w{1,12}$")
"""What the name of a file ends with."""

CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Characters that no text may contain: text fields change some of them, as ``\\r``."""

SMALL: Final = range(-3, 2)
"""Numbers that often mean something of their own, such as a seed of -1: each of them has to be proven."""


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """What the server's definition of an input allows; ``None``: says nothing. Lists of files are not choices."""

    choices: frozenset[Value] | None = None
    low: float | None = None
    high: float | None = None
    step: float | None = None


@dataclass(slots=True)
class Rule:
    """One value's rule. ``targets`` are the places in the prompt, node id and input, where it arrives.

    A *held* value is only right as ``value``. *text* may have the ``features``. A *choice* is one of ``choices`` or of
    ``seen``, or where it is ``unlisted``, other names having arrived, the plain name of a file. A *number* lies in
    ``low`` to ``high``, has a fraction only where ``fraction`` is set, differs from ``value`` by whole ``unit``, and is
    none of ``SMALL``; or it is one of ``seen``. A *switch* is a boolean.
    """

    kind: Kind
    targets: tuple[tuple[str, str], ...] = ()
    value: Value = ""
    features: frozenset[str] = frozenset()
    seen: set[Value] = field(default_factory=set)
    choices: frozenset[Value] = frozenset()
    low: float = 0
    high: float = 0
    fraction: bool = False
    unit: int = 1
    unlisted: bool = False

    def refusal(self, value: Value) -> str | None:
        """Why ``value`` is not known to arrive as it is, in words; ``None`` where it is."""
        if self.kind == "held":
            same = type(value) is type(self.value) and value == self.value
            return None if same else "it is not proven what this value does"
        if self.kind == "text" and isinstance(value, str):
            return text_refusal(value, self.features)
        if self.kind == "choice" and not isinstance(value, bool):
            known = value in self.choices or value in self.seen or self._is_file(value)
            return None if known else "this choice is not known"
        if self.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
            return self._number_refusal(value)
        if self.kind == "switch" and isinstance(value, bool):
            return None
        return "a value of another kind was proven"

    def _is_file(self, value: Value) -> bool:
        return (
            self.unlisted
            and isinstance(value, str)
            and FILE_NAME.search(value) is not None
            and text_refusal(value, ()) is None
        )

    def _number_refusal(self, value: float) -> str | None:
        if value in self.seen:
            return None
        if not self.low <= value <= self.high:
            return "the number is beyond the proven range"
        if value != int(value):
            return None if self.fraction else "numbers with a fraction are not proven"
        if self.unit > 1 and (int(value) - int(self.value)) % self.unit:
            return "numbers between the proven ones are not proven"
        return "this number may have a meaning of its own" if value in SMALL else None

    def to_json(self) -> JsonObject:
        """Everything but ``choices``, which the environment knows."""
        return {
            "kind": self.kind,
            "targets": [list(target) for target in self.targets],
            "value": self.value,
            "features": sorted(self.features),
            "seen": list(self.seen),
            "low": self.low,
            "high": self.high,
            "fraction": self.fraction,
            "unit": self.unit,
            "unlisted": self.unlisted,
        }

    @classmethod
    def from_json(cls, data: Any) -> Rule:
        """The rule that was stored. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        return cls(
            kind=data["kind"],
            targets=tuple((str(node), str(name)) for node, name in data["targets"]),
            value=data["value"],
            features=frozenset(data["features"]),
            seen=set(data["seen"]),
            low=data["low"],
            high=data["high"],
            fraction=bool(data["fraction"]),
            unit=int(data["unit"]),
            unlisted=bool(data["unlisted"]),
        )


def text_refusal(value: str, proven: Collection[str]) -> str | None:
    """Why a text is beyond what is ``proven``, in words."""
    if CONTROLS.search(value):
        return "text with control characters is not proven"
    for name, pattern in FEATURES.items():
        if name not in proven and pattern.search(value):
            return f"text with {name} is not proven"
    return None
