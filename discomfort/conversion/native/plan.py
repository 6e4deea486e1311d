"""The plan for workflows of one shape: a prompt to start from, and a rule for each value. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from discomfort.conversion.native.rules import Rule, ValueLimits
from discomfort.workflow.javascript import Value, through_javascript

if TYPE_CHECKING:
    from discomfort._json import JsonObject

VERSION: Final = 2
"""Version of the stored form and of what counts as proven; plans of other versions are not used."""


@dataclass(slots=True)
class Plan:
    """The result of learning one shape.

    ``agreed`` counts the prompts that were compared with the browser's and were equal. ``off`` is the reason why the
    plan must not be used (any more).
    """

    template: bytes
    rules: list[Rule] = field(default_factory=list)
    agreed: int = 0
    off: str | None = None
    uses: int = 0

    def refusal(self, values: Sequence[Value]) -> str | None:
        """Why the plan cannot convert ``values``, with the place; ``None`` if it can."""
        if self.off is not None:
            return self.off
        for number, (rule, value) in enumerate(zip(self.rules, values, strict=True)):
            reason = rule.refusal(value)
            if reason is not None:
                node, name = rule.targets[0] if rule.targets else (None, None)
                return f"{reason} ({f'node {node}, {name}' if node else f'value {number}'})"
        return None

    def apply(self, values: Sequence[Value]) -> JsonObject:
        """The prompt for ``values``, proven or not; a new object each time."""
        # json, not orjson, which reads integers beyond 64 bits as floats. Parsed each time, because the caller may
        # change the prompt that it receives.
        prompt: JsonObject = json.loads(self.template)
        for rule, value in zip(self.rules, values, strict=True):
            for node, name in rule.targets:
                prompt[node]["inputs"][name] = through_javascript(value)
        return prompt

    def know(self, limits: Mapping[str, Mapping[str, ValueLimits]], *, seen_only: bool) -> None:
        """Take the choices of enumerated inputs from the server's definitions; with ``seen_only`` take none."""
        prompt = json.loads(self.template)
        for rule in self.rules:
            found = limits_of(rule.targets, prompt, limits)
            rule.choices = (found.choices if not seen_only else None) or frozenset()

    def to_json(self) -> bytes:
        """The stored form."""
        return json.dumps(
            {
                "version": VERSION,
                "template": json.loads(self.template),
                "rules": [rule.to_json() for rule in self.rules],
                "agreed": self.agreed,
                "off": self.off,
            }
        ).encode()

    @classmethod
    def from_json(cls, data: Any, count: int) -> Plan | None:
        """The plan stored for a shape with ``count`` values; ``None`` if ``data`` is not one."""
        try:
            if data["version"] != VERSION:
                return None
            off, prompt = data["off"], data["template"]
            plan = cls(json.dumps(prompt).encode(), [Rule.from_json(each) for each in data["rules"]])
            plan.agreed, plan.off = int(data["agreed"]), None if off is None else str(off)
            # A file from disk: a rule that points into nothing would raise in the middle of a conversion.
            whole = all(name in prompt[node]["inputs"] for rule in plan.rules for node, name in rule.targets)
        except (LookupError, TypeError, ValueError):
            return None
        return plan if off is not None or (whole and len(plan.rules) == count) else None


def limits_of(
    targets: Sequence[tuple[str, str]], prompt: JsonObject, limits: Mapping[str, Mapping[str, ValueLimits]]
) -> ValueLimits:
    """The limits that hold for all inputs in ``targets`` together."""
    # A primitive or a promoted widget feeds several inputs, and its value must suit each of them.
    found = [limits.get(prompt[node].get("class_type") or "", {}).get(name, ValueLimits()) for node, name in targets]
    choices = [each.choices for each in found if each.choices is not None]
    lows = [each.low for each in found if each.low is not None]
    highs = [each.high for each in found if each.high is not None]
    steps = [each.step for each in found if each.step is not None]
    return ValueLimits(
        frozenset.intersection(*choices) if choices else None,
        max(lows) if lows else None,
        min(highs) if highs else None,
        max(steps) if steps else None,
    )


def difference(made: JsonObject, expected: JsonObject) -> str | None:
    """The place where two prompts differ, without their contents; ``None`` if their JSON texts are equal."""
    if json.dumps(made) == json.dumps(expected):
        return None
    for node, there in expected.items():
        here = made.get(node)
        if here is None or list(here) != list(there) or here.get("class_type") != there.get("class_type"):
            return f"node {node}"
        if list(here["inputs"]) != list(there["inputs"]):
            return f"the inputs of node {node}"
        for name, value in there["inputs"].items():
            if json.dumps(here["inputs"][name]) != json.dumps(value):
                return f"node {node}, input {name}"
    return "the nodes or their titles"
