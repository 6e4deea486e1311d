"""Reader and writer for torch's files of plain values and arrays: a zip archive with a pickle and the numbers.

The pickle is written by hand and read with only the names that such files need, so that no file can run code.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_NAMES = {np.dtype(kind): name for name, kind in _STORAGES.items()}
_ALIGNED = 64


class _Writer:
    """Collects the pickle of a value, and the arrays in it."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.arrays: list[npt.NDArray[Any]] = []

    def add(self, value: Any) -> None:
        """Write a value. Raises ``TypeError`` for what is not plain."""
        if isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, dict):
            self.out.write(pickle.EMPTY_DICT + pickle.MARK)
            for pair in value.items():
                self._each(pair)
            self.out.write(pickle.SETITEMS)
        elif isinstance(value, list):
            # torch does not read the shorter form.
            self.out.write(pickle.EMPTY_LIST + pickle.MARK)
            self._each(value)
            self.out.write(pickle.APPENDS)
        elif isinstance(value, tuple):
            self.out.write(pickle.MARK)
            self._each(value)
            self.out.write(pickle.TUPLE)
        elif value is None or isinstance(value, bool | int | float | str):
            # Without the protocol before it and the stop after it; such values need no memory.
            self.out.write(pickletools.optimize(pickle.dumps(value, protocol=2))[2:-1])
        else:
            raise TypeError(f"a {type(value).__name__} cannot be saved in a file of torch's by the emulator")

    def _each(self, values: Any) -> None:
        for value in values:
            self.add(value)

    def _name(self, module: str, name: str) -> None:
        self.out.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def _array(self, array: npt.NDArray[Any]) -> None:
        if array.dtype not in _NAMES:
            raise TypeError(f"numbers of type {array.dtype} cannot be saved in a file of torch's by the emulator")
        strides = [stride // array.itemsize for stride in np.asarray(array, order="C").strides]
        self._name("torch._utils", "_rebuild_tensor_v2")
        self.out.write(pickle.MARK + pickle.MARK)
        self.add("storage")
        self._name("torch", _NAMES[array.dtype])
        self._each([str(len(self.arrays)), "cpu", array.size])
        self.out.write(pickle.TUPLE + pickle.BINPERSID)
        self._each([0, tuple(array.shape), tuple(strides), False])
        self._name("collections", "OrderedDict")
        self.out.write(pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.TUPLE + pickle.REDUCE)
        self.arrays.append(array)


def write_values(path: Path, value: Any) -> None:
    """Write dicts, lists, texts, numbers and arrays as ``torch.save`` does. Raises ``TypeError`` for other values."""
    writer = _Writer()
    writer.add(value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        content = {"data.pkl": pickle.PROTO + b"\2" + writer.out.getvalue() + pickle.STOP, "byteorder": b"little"}
        for number, array in enumerate(writer.arrays):
            content[f"data/{number}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
        for name, data in (content | {"version": b"3\n"}).items():
            entry = zipfile.ZipInfo(f"archive/{name}")
            # torch reads arrays from where they are in the file, which has to be a multiple of 64 bytes.
            place = archive.fp.tell() + 30 + len(entry.filename) + 4 if archive.fp else 0
            missing = -place % _ALIGNED
            entry.extra = struct.pack("<2sH", b"FB", missing) + b"Z" * missing
            archive.writestr(entry, data)


class _Reader(pickle.Unpickler):
    """Reads a pickle in which only arrays are more than plain values."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """The few names that files of arrays have. Raises ``UnpicklingError`` for others."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _array
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of arrays")

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        """The numbers of one array."""
        _, kind, number, *_ = pid
        data = self._archive.read(f"{self._folder}/data/{number}")
        return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).astype(kind)


def _array(numbers: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> npt.NDArray[Any]:
    if start < 0 or min(strides, default=0) < 0:
        raise pickle.UnpicklingError("an array is outside of its numbers")
    last = start + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, numbers.dtype)
    if last >= len(numbers):
        raise pickle.UnpicklingError("an array is outside of its numbers")
    steps = tuple(stride * numbers.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(numbers[start:], shape, steps).copy()


def read_values(path: Path) -> Any:
    """The value in a file of torch's. Raises ``UnpicklingError`` if it needs more than plain values and arrays."""
    with zipfile.ZipFile(path) as archive:
        described = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(described) != 1:
            raise pickle.UnpicklingError(f"{path.name} is not a file of torch's")
        return _Reader(archive, described[0].removesuffix("/data.pkl")).load()
