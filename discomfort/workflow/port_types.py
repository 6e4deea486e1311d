"""Types of slots, as a workflow saves them, and whether a value can go from one to another. Pure."""

from __future__ import annotations

from typing import Any

ANY = "ANY"
"""The type of a slot whose type is not known: ``*`` in files, or one that only has to match others."""

_NUMBERS = frozenset({"INT", "FLOAT", "NUMBER", "BOOLEAN"})
_TEXTS = frozenset({"STRING"})
_COMBO = "COMBO"
"""A list of choices: usually texts, sometimes numbers."""
_OPEN = ("COMFY_MATCHTYPE", "COMFY_MULTITYPED")


def slot_type(value: Any) -> str:
    """The type of a slot as text; older files have a list of choices there, which is ``COMBO``."""
    if isinstance(value, (list, tuple)):
        return _COMBO
    if not isinstance(value, str) or not value.strip() or value.strip() == "*" or value.startswith(_OPEN):
        return ANY
    return value.strip()


def excludes(produced: str, taken: str) -> bool:
    """Whether a value of one type is never what the other takes. Unknown types exclude nothing.

    A type may be a list divided by commas. Numbers are one kind, and a combo takes texts and numbers. Case is ignored.
    """
    left, right = _kinds(produced), _kinds(taken)
    return bool(left) and bool(right) and left.isdisjoint(right)


def is_known(kind: str) -> bool:
    """Whether a type says anything."""
    return kind.upper() not in (ANY, "*", "")


def _kinds(kind: str) -> frozenset[str]:
    """The kinds of value that a type stands for; empty if it may be any."""
    found: set[str] = set()
    for each in (part.strip().upper() for part in kind.split(",")):
        if not is_known(each) or each.startswith(_OPEN):
            return frozenset()
        if each in _NUMBERS or each == _COMBO:
            found.add("number")
        if each in _TEXTS or each == _COMBO:
            found.add("text")
        if each not in _NUMBERS | _TEXTS | {_COMBO}:
            found.add(each)
    return frozenset(found)
