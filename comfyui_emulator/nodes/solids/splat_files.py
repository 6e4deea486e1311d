"""Files of Gaussian splats: PLY, .splat, .ksplat and .spz, and the nodes that read and write them."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import choice, link, node
from comfyui_emulator.nodes.solids.meshes import File3D, Points
from comfyui_emulator.nodes.solids.quaternions import unit
from comfyui_emulator.nodes.solids.splats import FIELDS, Splat, parts

Parts = dict[str, Points]
COLOR = 0.28209479177387814
"""The value of the first spherical harmonic, by which its coefficient becomes a colour."""

_SPZ_COLOR = COLOR / 0.15
_SPZ_MAGIC, _SPZ_BITS = 0x5053474E, 12
_KSPLAT_HEAD, _KSPLAT_SECTION, _KSPLAT_SIZE = 4096, 1024, 44


def _not_empty(given: Parts) -> int:
    count = len(given["positions"])
    if not count:
        raise ValueError("SplatToFile3D: gaussian is empty")
    return count


def _colors(given: Parts) -> Points:
    return given["sh"][:, 0, :] * np.float32(COLOR) + np.float32(0.5)


def write_ply(given: Parts) -> bytes:
    """PLY as usual for splats: logarithms of scales, and opacities before the logistic function."""
    count = _not_empty(given)
    rest = given["sh"][:, 1:, :].transpose(0, 2, 1).reshape(count, -1)
    opacity = given["opacities"].reshape(count, 1).clip(np.float32(1e-6), np.float32(1 - 1e-6))
    columns = {
        "x y z": given["positions"],
        "nx ny nz": np.zeros((count, 3)),
        "f_dc_0 f_dc_1 f_dc_2": given["sh"][:, 0, :],
        " ".join(f"f_rest_{index}" for index in range(rest.shape[1])): rest,
        "opacity": np.log(opacity / (np.float32(1) - opacity)),
        "scale_0 scale_1 scale_2": np.log(given["scales"].clip(min=np.float32(1e-8))),
        "rot_0 rot_1 rot_2 rot_3": given["rotations"],
    }
    names = [name for group in columns for name in group.split()]
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    head += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    return head.encode() + np.concatenate(list(columns.values()), axis=1).astype("<f4").tobytes()


def write_ksplat(given: Parts) -> bytes:
    """The uncompressed level of .ksplat, with colours only."""
    count = _not_empty(given)
    levels = np.concatenate([_colors(given), given["opacities"].reshape(count, 1)], axis=1).clip(0, 1)
    record = np.empty(count, dtype=[("numbers", "<f4", 10), ("levels", "u1", 4)])
    record["numbers"] = np.concatenate([given["positions"], given["scales"], unit(given["rotations"])], axis=1)
    record["levels"] = np.round(levels * np.float32(255)).astype(np.uint8)
    head = struct.pack("<BBxxIIIIH", 0, 1, 1, 1, count, count, 0).ljust(_KSPLAT_HEAD, b"\0")
    section = struct.pack("<II20xI", count, count, count * _KSPLAT_SIZE).ljust(_KSPLAT_SECTION, b"\0")
    return head + section + record.tobytes()


def write_spz(given: Parts) -> bytes:
    """Version 2 of .spz, with colours only."""
    count = _not_empty(given)
    half = 1 << 23
    fixed = np.clip(np.round(given["positions"] * (1 << _SPZ_BITS)), -half, half - 1).astype(np.int32) & 0xFFFFFF
    places = np.stack([fixed & 0xFF, fixed >> 8 & 0xFF, fixed >> 16 & 0xFF], axis=-1)
    turn = unit(given["rotations"])
    turn = np.where(turn[:, :1] < 0, -turn, turn)
    groups = [
        places,
        given["opacities"] * np.float32(255),
        ((_colors(given) - np.float32(0.5)) / np.float32(_SPZ_COLOR) + np.float32(0.5)) * np.float32(255),
        (np.log(given["scales"].clip(min=np.float32(1e-9))) + np.float32(10)) * np.float32(16),
        (turn[:, 1:] + np.float32(1)) * np.float32(127.5),
    ]
    head = struct.pack("<IIIBBBB", _SPZ_MAGIC, 2, count, 0, _SPZ_BITS, 0, 0)
    return gzip.compress(head + b"".join(np.round(group).clip(0, 255).astype(np.uint8).tobytes() for group in groups))


_WRITERS: dict[str, Callable[[Parts], bytes]] = {"ply": write_ply, "ksplat": write_ksplat, "spz": write_spz}


def _of_colors(colors: Points) -> Points:
    return ((colors.astype(np.float32) - np.float32(0.5)) / np.float32(COLOR))[:, None, :]


def _read(positions: Any, scales: Any, rotations: Any, opacities: Any, sh: Any) -> Parts:
    found = (positions, scales, unit(rotations), opacities.reshape(-1, 1), sh)
    return {name: values.astype(np.float32) for name, values in zip(FIELDS, found, strict=True)}


_PLY_TYPES = {
    "char int8": "i1",
    "uchar uint8": "u1",
    "short int16": "<i2",
    "ushort uint16": "<u2",
    "int int32": "<i4",
    "uint uint32": "<u4",
    "float float32": "<f4",
    "double float64": "<f8",
}
_PLY_TYPE = {word: code for words, code in _PLY_TYPES.items() for word in words.split()}


def _ply_table(data: bytes) -> npt.NDArray[Any]:
    end = data.find(b"end_header")
    if end < 0:
        raise ValueError("File3DToSplat: not a PLY (missing end_header)")
    count, fields, inside = 0, [], False
    for line in data[:end].decode("ascii", "replace").splitlines():
        words = line.split() or [""]
        if words[0] == "format" and words[1] != "binary_little_endian":
            raise ValueError(f"File3DToSplat: unsupported PLY format '{words[1]}' (need binary_little_endian)")
        if words[0] == "element":
            inside = words[1] == "vertex"
            count = int(words[2]) if inside else count
        elif words[0] == "property" and inside:
            if words[1] == "list":
                raise ValueError("File3DToSplat: PLY vertex has list properties (unsupported)")
            fields.append((words[2], _PLY_TYPE[words[1]]))
    start = end + len(b"end_header")
    start += 2 if data[start : start + 2] == b"\r\n" else 1
    return np.frombuffer(data, np.dtype(fields), count=count, offset=start)


def read_ply(data: bytes) -> Parts:
    """PLY with splats, or with points, which become small balls."""
    table = _ply_table(data)
    names, count = table.dtype.names or (), len(table)

    def columns(*wanted: str) -> Points:
        return np.stack([table[name].astype(np.float32) for name in wanted], axis=1)

    scales = np.full((count, 3), 0.01, np.float32)
    if "scale_0" in names:
        scales = np.exp(columns("scale_0", "scale_1", "scale_2"))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    if "rot_0" in names:
        turns = columns("rot_0", "rot_1", "rot_2", "rot_3")
    opacities = np.ones((count, 1), np.float32)
    if "opacity" in names:
        opacities = np.float32(1) / (np.float32(1) + np.exp(-columns("opacity")))
    return _read(columns("x", "y", "z"), scales, turns, opacities, _ply_colors(names, columns, count))


def _ply_colors(names: tuple[str, ...], columns: Callable[..., Points], count: int) -> Points:
    if "f_dc_0" not in names:
        if "red" in names:
            return _of_colors(columns("red", "green", "blue") / np.float32(255))
        return np.zeros((count, 1, 3), np.float32)
    first = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None, :]
    rest = sorted((name for name in names if name.startswith("f_rest_")), key=lambda name: int(name.split("_")[-1]))
    if not rest:
        return first
    others = columns(*rest).reshape(count, 3, -1).transpose(0, 2, 1)
    return np.concatenate([first, others], axis=1)


def read_splat(data: bytes) -> Parts:
    """The format .splat: records of 32 bytes."""
    if len(data) % 32:
        raise ValueError("File3DToSplat: .splat size is not a multiple of 32 bytes")
    fields = [("place", "<f4", 3), ("scale", "<f4", 3), ("levels", "u1", 4), ("turn", "u1", 4)]
    table = np.frombuffer(data, np.dtype(fields))
    levels = table["levels"].astype(np.float32) / np.float32(255)
    turns = (table["turn"].astype(np.float32) - np.float32(128)) / np.float32(128)
    return _read(table["place"], table["scale"], turns, levels[:, 3], _of_colors(levels[:, :3]))


# Level: bytes of a place, a scale, a rotation, levels, a coefficient; and the default range of places.
_KSPLAT_LEVELS = {0: (12, 12, 16, 4, 4, 1), 1: (6, 6, 8, 4, 2, 32767), 2: (6, 6, 8, 4, 1, 32767)}
_KSPLAT_COEFFICIENTS = {0: 0, 1: 9, 2: 24, 3: 45}


def read_ksplat(data: bytes) -> Parts:
    """All levels of .ksplat, of the harmonics only the colour."""
    if data[0] != 0:
        raise ValueError(f"File3DToSplat: unsupported .ksplat version {data[0]}.{data[1]}")
    sections = struct.unpack_from("<I", data, 4)[0]
    level = struct.unpack_from("<H", data, 20)[0]
    if level not in _KSPLAT_LEVELS:
        raise ValueError(f"File3DToSplat: invalid .ksplat compression level {level}")
    base = _KSPLAT_HEAD + sections * _KSPLAT_SECTION
    found: list[Parts] = []
    for number in range(sections):
        section = _Section(data, _KSPLAT_HEAD + number * _KSPLAT_SECTION, level)
        if section.count:
            found.append(section.read(base))
        base += section.size
    if not found:
        raise ValueError("File3DToSplat: .ksplat has no splats")
    return {name: np.concatenate([part[name] for part in found]) for name in FIELDS}


class _Section:
    """A section of a .ksplat file. Above level 0, places are relative to the middles of buckets."""

    def __init__(self, data: bytes, start: int, level: int) -> None:
        self._data, self._level = data, level
        numbers = struct.unpack_from("<IIIIfHxxI", data, start)
        self.count, most, self._bucket_size, self._buckets, self._block, stored, self._range = numbers
        self._full, self._partial, degree = struct.unpack_from("<IIH", data, start + 32)
        self._range = self._range or _KSPLAT_LEVELS[level][5]
        self._coefficients = _KSPLAT_COEFFICIENTS.get(degree, 0)
        self._before = stored * self._buckets + self._partial * 4
        each = sum(_KSPLAT_LEVELS[level][:4]) + self._coefficients * _KSPLAT_LEVELS[level][4]
        self.size = self._before + each * most

    def read(self, base: int) -> Parts:
        """The splats of the section, which begins at ``base``."""
        place, number = ("<f4", "<f4") if self._level == 0 else ("<u2", "<f2")
        fields: list[Any] = [("place", place, 3), ("scale", number, 3), ("turn", number, 4), ("levels", "u1", 4)]
        if self._coefficients:
            fields.append(("sh", ("<f4", "<f2", "u1")[self._level], self._coefficients))
        table = np.frombuffer(self._data, np.dtype(fields), count=self.count, offset=base + self._before)
        levels = table["levels"].astype(np.float32) / np.float32(255)
        places = table["place"].astype(np.float32)
        if self._level:
            places = (places - self._range) * (self._block / 2.0 / self._range) + self._middles(base)
        turns = table["turn"].astype(np.float32)
        return _read(places, table["scale"], turns, levels[:, 3], _of_colors(levels[:, :3]))

    def _middles(self, base: int) -> Points:
        start = base + self._partial * 4
        buckets = np.frombuffer(self._data, "<f4", count=self._buckets * 3, offset=start).reshape(-1, 3)
        lengths = np.frombuffer(self._data, "<u4", count=self._partial, offset=base)
        full = np.repeat(np.arange(self._full), self._bucket_size)
        partial = np.repeat(self._full + np.arange(self._partial), lengths)
        found: Points = buckets[np.concatenate([full, partial])[: self.count]]
        return found


def read_spz(data: bytes) -> Parts:
    """Versions 1 to 3 of .spz, of the harmonics only the colour."""
    raw = gzip.decompress(data)
    magic, version, count, _, bits = struct.unpack_from("<IIIBB", raw)
    if magic != _SPZ_MAGIC:
        raise ValueError("File3DToSplat: invalid .spz (bad magic)")
    if version not in (1, 2, 3):
        raise ValueError(f"File3DToSplat: unsupported .spz version {version}")
    offset = 16

    def take(each: int, kind: str = "u1") -> npt.NDArray[Any]:
        nonlocal offset
        found = np.frombuffer(raw, kind, count=count * each, offset=offset).reshape(count, each)
        offset += found.nbytes
        return found

    if version == 1:
        places = take(3, "<f2").astype(np.float32)
    else:
        low, middle, high = np.moveaxis(take(9).reshape(count, 3, 3).astype(np.int64), -1, 0)
        fixed = high << 16 | middle << 8 | low
        places = (np.where(fixed & 0x800000, fixed - 0x1000000, fixed) / (1 << bits)).astype(np.float32)
    opacities = take(1).astype(np.float32) / np.float32(255)
    colors = (take(3).astype(np.float32) / np.float32(255) - np.float32(0.5)) * np.float32(_SPZ_COLOR)
    scales = np.exp(take(3).astype(np.float32) / np.float32(16) - np.float32(10))
    turns = _smallest_three(take(4)) if version == 3 else _without_w(take(3))
    return _read(places, scales, turns, opacities, _of_colors(colors + np.float32(0.5)))


def _without_w(levels: npt.NDArray[Any]) -> Points:
    vectors = levels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    w = np.sqrt(np.clip(1 - np.square(vectors).sum(axis=1), 0, None))
    return np.concatenate([w[:, None], vectors], axis=1)


def _smallest_three(levels: npt.NDArray[Any]) -> Points:
    """Quaternions without their largest number: for each other one nine bits and a sign, from the last on."""
    words = levels.astype(np.int64) @ (1 << np.arange(0, 32, 8))
    largest = words >> 30 & 3
    found = np.zeros((len(words), 4))
    for axis in (3, 2, 1, 0):
        stored = axis != largest
        value = (words & 0x1FF) / 0x1FF / math.sqrt(2) * np.where(words >> 9 & 1, -1, 1)
        found[stored, axis] = value[stored]
        words = np.where(stored, words >> 10, words)
    rest = np.sqrt(np.clip(1 - np.square(found).sum(axis=1), 0, None))
    found[np.arange(len(words)), largest] = rest
    return found[:, [3, 0, 1, 2]].astype(np.float32)


_READERS: Mapping[str, Callable[[bytes], Parts]] = {
    "ply": read_ply,
    "splat": read_splat,
    "ksplat": read_ksplat,
    "spz": read_spz,
}


def detected(data: bytes) -> str:
    """The format of a file by its content. Raises ``ValueError``."""
    if data[:3] == b"ply":
        return "ply"
    if data[:2] == b"\x1f\x8b":
        return "spz"
    if len(data) >= 2 and data[0] == 0 and data[1] >= 1:
        return "ksplat"
    if len(data) % 32 == 0:
        return "splat"
    raise ValueError("File3DToSplat: could not determine splat format from contents")


_NODE: dict[str, Any] = {"module": "comfy_extras.nodes_gaussian_splat", "category": "3d/splat", "v3": True}


@node(
    "SplatToFile3D",
    {"splat": link("SPLAT"), "format": choice(list(_WRITERS))},
    "FILE_3D_SPLAT_ANY",
    names="model_3d",
    title="Create 3D File (from Splat)",
    touches={"splat": "positions"},
    **_NODE,
)
def to_file(splat: Splat, format: str) -> File3D:  # noqa: A002 - the input's name
    """The first item of a batch as a file in memory. Raises ``ValueError`` if it is empty."""
    return File3D(_WRITERS[format](parts(splat, 0)), format)


@node(
    "File3DToSplat",
    {"model_3d": link("FILE_3D,FILE_3D_SPLAT_ANY,FILE_3D_PLY,FILE_3D_SPLAT,FILE_3D_KSPLAT,FILE_3D_SPZ")},
    "SPLAT",
    names="splat",
    title="Get Splat",
    touches={"model_3d": "get_bytes"},
    **_NODE,
)
def from_file(model_3d: File3D) -> Splat:
    """The splats of a file, by its name or else by its content. Raises ``ValueError`` for what is not read."""
    data = model_3d.get_bytes()
    reader = _READERS.get(model_3d.format.lower()) or _READERS[detected(data)]
    fields: dict[str, Any] = {name: values[None] for name, values in reader(data).items()}
    return Splat(**fields)
