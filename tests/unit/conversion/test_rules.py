"""Which values are proven to arrive, and each reason why one is not."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.conversion.native.rules import FEATURES, Rule

NUMBER = Rule("number", low=0, high=100, fraction=False, seen={0})
FRACTION = Rule("number", low=-10, high=10.5, fraction=True)
CHOICE = Rule("choice", choices=frozenset({"euler", 2}), seen={"gone"})
PLAIN = Rule("text")
ANY = Rule("text", features=frozenset(FEATURES))


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Rule("held", value=5), 5),
        (PLAIN, "a red (fox:1.2), at night. O'Hara & co; sub/file-name_01.png"),
        (ANY, "{a|b} // c /* d */ \\ \\( % \n <lora:x> é "),
        (ANY, ""),
        (ANY, "12"),
        (CHOICE, "euler"),
        (CHOICE, "gone"),
        (CHOICE, 2),
        (NUMBER, 50),
        (NUMBER, 50.0),
        (NUMBER, 0),
        (FRACTION, 0.5),
        (Rule("switch"), False),
    ],
)
def test_proven(rule: Rule, value: Any) -> None:
    """Values within what was proven."""
    assert rule.refusal(value) is None


@pytest.mark.parametrize(
    ("rule", "value", "reason"),
    [
        (Rule("held", value=5), 6, "not proven what this value does"),
        (Rule("held", value=1), True, "not proven what this value does"),
        (PLAIN, "{day|night}", "braces"),
        (PLAIN, "a|b", "braces"),
        (PLAIN, "a // b", "comments"),
        (PLAIN, "a /* b", "comments"),
        (PLAIN, "a\\", "backslashes"),
        (PLAIN, "\\(a", "escaped parentheses"),
        (PLAIN, "%date%", "percent"),
        (PLAIN, "<lora:a:1>", "marks"),
        (PLAIN, "__wildcard__", "marks"),
        (PLAIN, "a\nb", "lines"),
        (PLAIN, " a", "lines"),
        (PLAIN, "é", "ASCII"),
        (PLAIN, "", "nothing"),
        (PLAIN, "12", "a number"),
        (PLAIN, "-1.5e3", "a number"),
        (PLAIN, "true", "constant"),
        (ANY, "a\r\nb", "control"),
        (ANY, "\x00", "control"),
        (PLAIN, 5, "another kind"),
        (CHOICE, "heun", "choice is not known"),
        (CHOICE, True, "another kind"),
        (NUMBER, 101, "beyond"),
        (NUMBER, -1, "beyond"),
        (NUMBER, float("nan"), "beyond"),
        (NUMBER, float("inf"), "beyond"),
        (NUMBER, 1.5, "fraction"),
        (NUMBER, 1, "meaning of its own"),
        (FRACTION, -1, "meaning of its own"),
        (NUMBER, "5", "another kind"),
        (NUMBER, True, "another kind"),
        (Rule("switch"), 1, "another kind"),
    ],
)
def test_not_proven(rule: Rule, value: Any, reason: str) -> None:
    """Each kind of value that the browser must convert, with its reason."""
    assert reason in str(rule.refusal(value))


def test_rule_survives_storage() -> None:
    """What is stored is what is read, but for the choices, which the server knows."""
    rule = Rule("number", (("1:2", "seed"),), low=0, high=2**64, fraction=True, seen={0, -1}, features=frozenset({"x"}))

    assert Rule.from_json(rule.to_json()) == rule
