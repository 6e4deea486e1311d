"""Pickling of exceptions: all fields are kept, and pickling never fails."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self  # ComfyUI's process, which reads values with these errors, may be of Python 3.10

_ATOMS = (type(None), bool, int, float, complex, str, bytes)
_LOWEST_PROTOCOL = 2
"""What can be pickled with this protocol can be pickled with all later ones."""

_MADE_IN_PYTHON = 1 << 9
"""``Py_TPFLAGS_HEAPTYPE``, as in :mod:`copyreg`."""

_TRIED = threading.local()
"""The objects that this thread is testing at the moment."""


class PortableError(Exception):
    """An exception that pickles with its class, its fields, its exact text, its notes and its ``__cause__``.

    ``Exception`` itself calls the class again with ``args``, which contains the text, while ``__init__`` takes facts.
    Here ``__init__`` does not run again. What cannot be pickled is replaced by its ``repr``.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        args = portable(self.args)
        if args is not self.args:
            args = (_described(self, str),)
        fields = {name: portable(value) for name, value in vars(self).items()}
        return _restore, (type(self), args), self._state(fields, _portable_cause(self.__cause__))

    def __copy__(self) -> Self:
        made: Self = _restore(type(self), self.args)
        made.__setstate__(self._state(vars(self), self.__cause__))
        return made

    def _state(self, fields: Mapping[str, Any], cause: BaseException | None) -> dict[str, Any]:
        # In this order: setting a cause also sets whether the context is shown.
        return {**fields, "__cause__": cause, "__suppress_context__": self.__suppress_context__}


def portable(value: Any) -> Any:
    """``value`` itself if it can be pickled and unpickled, else the nearest value that can.

    In containers only the offending items are replaced; other mappings become ``dict``, everything else its ``repr``.
    """
    try:
        return _portable(value)
    except Exception:  # noqa: BLE001 - it contains itself, is nested too deep, or is a mapping that cannot be read
        return _described(value)


def _restore(kind: type[PortableError], args: tuple[Any, ...]) -> Any:
    # The builtin that decides the memory layout (OSError if there are several): others refuse to make the object.
    maker: Any = kind
    while maker.__flags__ & _MADE_IN_PYTHON:
        maker = maker.__base__
    error = maker.__new__(kind)
    error.args = args
    return error


def _portable(value: Any) -> Any:
    kind = type(value)
    if kind in _ATOMS or isinstance(value, PortableError):
        return value
    if kind is dict:
        changed = {_portable(key): _portable(each) for key, each in value.items()}
        return value if _same(value, changed) and _same(value.values(), changed.values()) else changed
    if kind in (list, tuple):
        changed = kind(map(_portable, value))
        return value if _same(value, changed) else changed
    if dataclasses.is_dataclass(value) and kind.__module__.startswith("discomfort."):
        return _portable_record(value)
    if _travels(value):
        return value
    return _portable(dict(value)) if isinstance(value, Mapping) else _described(value)


def _portable_record(record: Any) -> Any:
    """One of our frozen dataclasses, whose fields may contain values of a caller."""
    values = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}
    changed = {name: new for name, old in values.items() if (new := _portable(old)) is not old}
    return dataclasses.replace(record, **changed) if changed else record


def _portable_cause(cause: BaseException | None) -> BaseException | None:
    if cause is None or isinstance(cause, PortableError) or _travels(cause):
        return cause
    return PortableError(f"{type(cause).__name__}: {_described(cause, str)}")


def _same(old: Any, new: Any) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


def _travels(value: object) -> bool:
    """Whether ``value`` can be pickled and unpickled: many exceptions of other libraries can only be pickled.

    Copying it checks the latter without evaluating anything.
    """
    # An error and a value that contain each other would be tested for ever.
    if id(value) in (tried := _TRIED.__dict__.setdefault("ids", set())):
        return False
    tried.add(id(value))
    try:
        pickle.dumps(value, _LOWEST_PROTOCOL)
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - whatever its class raises
        return False
    finally:
        tried.discard(id(value))
    return True


def _described(value: object, describe: Callable[[object], str] = repr) -> str:
    try:
        return describe(value)
    except Exception:  # noqa: BLE001 - an object that cannot even say what it is
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
