"""The JSON forms of values: plain values as they are, contents by their digest."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discomfort._system.concurrency import in_own_thread
from discomfort.exceptions import UnsupportedValueError
from discomfort.workflow.interface.declarations import Parameter

_BLOCK = 1 << 20
_FLOWING = frozenset({"IMAGE", "MASK", "AUDIO", "VIDEO", "LATENT"})
"""Types of parameters whose value is a content: a text for one of them may be a path."""
_CONTENT = "sha256"


def takes_content(parameter: Parameter | None) -> bool:
    """Whether a value may be a file: its path, its bytes, a picture or an array."""
    return parameter is not None and (parameter.upload is not None or parameter.type in _FLOWING)


class ValueForms:
    """Makes the forms of one sweep's values; each file is read once, if it does not change meanwhile."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int, int], str] = {}

    async def form(self, name: str, value: Any, parameter: Parameter | None) -> Any:
        """The form of the value of ``name``. Equal contents have equal forms, except for the name of their file.

        Raises OSError for a path that cannot be read, UnsupportedValueError for a value that has no content to compare.
        """
        if takes_content(parameter) and isinstance(value, str | os.PathLike):
            return await in_own_thread(lambda: self._file_form(value))
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            value = value.item()  # numpy's numbers
        outputs = _outputs_of(value)
        if outputs:
            hashed = hashlib.sha256()
            for output in outputs:
                hashed.update(await output.read())
            return {"file": str(outputs[0].filename or "value"), _CONTENT: hashed.hexdigest()}
        if _is_plain(value):
            return _plain(value, name)
        return {"file": type(value).__name__.lower(), _CONTENT: await in_own_thread(lambda: _digest(value, name))}

    def _file_form(self, value: str | os.PathLike[str]) -> Any:
        path = Path(value)
        # A text without a file here names a file that the server has.
        if isinstance(value, str) and not path.is_file():
            return value
        return {"file": path.name, _CONTENT: self._file(path)}

    def _file(self, path: Path) -> str:
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            key = (str(path.resolve()), about.st_size, about.st_mtime_ns)
            if key not in self._digests:
                hashed = hashlib.sha256()
                while block := stream.read(_BLOCK):
                    hashed.update(block)
                self._digests[key] = hashed.hexdigest()
            return self._digests[key]


def _outputs_of(value: Any) -> list[Any]:
    """The outputs of another run that a value is; those of a synchronous connector as its loop has them."""
    found = getattr(value, "outputs", [value])
    if not isinstance(found, list | tuple) or not all(
        hasattr(each, "read") and hasattr(each, "prompt_id") for each in found
    ):
        return []
    return [getattr(each, "output", each) for each in found]


def label(form: Any) -> str:
    """A form as people call it: a file by its name, a text and a number as they are."""
    if isinstance(form, str):
        return form
    if isinstance(form, float):
        return f"{form:g}" if float(f"{form:g}") == form else repr(form)
    if isinstance(form, Mapping) and _CONTENT in form:
        stem = Path(str(form.get("file", ""))).stem
        return stem if "." in str(form.get("file", "")) else f"{stem}-{str(form[_CONTENT])[:8]}"
    if isinstance(form, list):
        return "-".join(label(each) for each in form)
    return "none" if form is None else str(form).lower() if isinstance(form, bool) else str(form)


def compared(form: Any) -> Any:
    """What of a form decides whether two values are the same: whole floats are integers, files have no names."""
    if isinstance(form, float):
        return int(form) if form.is_integer() else repr(form)
    if isinstance(form, Mapping):
        if _CONTENT in form and len(form) == 2:
            return {_CONTENT: form[_CONTENT]}
        return {str(key): compared(each) for key, each in form.items()}
    return [compared(each) for each in form] if isinstance(form, list | tuple) else form


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | os.PathLike | list | tuple | Mapping)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{place}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{place}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsupportedValueError(f"{value} is not a number that a prompt can have", place=place)
    if hasattr(value, "item") and not hasattr(value, "keys"):
        return value.item()  # numpy's floats and texts are Python's, too
    if not _is_plain(value):
        raise UnsupportedValueError(f"a {type(value).__name__} inside of a value cannot be compared", place=place)
    return value


def _digest(value: Any, name: str) -> str:
    """Of bytes, of a picture, or of what numpy can read: its type and shape count, too."""
    if isinstance(value, bytes | bytearray | memoryview):
        return hashlib.sha256(value).hexdigest()
    if callable(getattr(value, "tobytes", None)) and hasattr(value, "mode"):
        return hashlib.sha256(f"{value.mode} {value.size} ".encode() + value.tobytes()).hexdigest()
    if hasattr(value, "__array__"):
        import numpy as np

        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        head = f"{array.dtype.str} {array.shape} ".encode()
        return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
    remedy = "Give a path, bytes, a picture or an array: a sweep compares contents to know what is done"
    raise UnsupportedValueError(f"a {type(value).__name__} cannot be compared", place=name, remedy=remedy)
