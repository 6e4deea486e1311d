"""The type that fits every other type, for inputs and outputs."""

from __future__ import annotations


class AnyType(str):
    """A type that never differs from another one. ComfyUI before 0.8 compares types with ``!=`` only."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return False


ANY = AnyType("*")
