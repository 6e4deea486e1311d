"""Writes and reads small pictures for the checks, without an imaging library."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(*pixel: int, size: int = 4, text: str = "") -> bytes:
    """A PNG of one colour, with three values for RGB and four for RGBA. ``text`` becomes a text chunk ``note``."""
    header = struct.pack(">IIBBBBB", size, size, 8, 6 if len(pixel) == 4 else 2, 0, 0, 0)
    rows = (b"\0" + bytes(pixel) * size) * size
    note = _chunk(b"tEXt", b"note\0" + text.encode("latin-1")) if text else b""
    return SIGNATURE + _chunk(b"IHDR", header) + note + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def chunks(data: bytes) -> list[tuple[str, bytes]]:
    """The chunks of a PNG as (type, content). Raises ValueError for other data."""
    if not data.startswith(SIGNATURE):
        raise ValueError(f"no PNG: {data[:16]!r}")
    found, at = [], len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8].decode("latin-1"), data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def facts(data: bytes) -> tuple[int, int, int]:
    """Width, height and colour type (2 RGB, 6 RGBA) of a PNG."""
    width, height, _, kind = struct.unpack(">IIBB", dict(chunks(data))["IHDR"][:10])
    return width, height, kind


def first_pixel(data: bytes) -> tuple[int, ...]:
    """The first pixel of a PNG, which no PNG filter changes."""
    rows = zlib.decompress(b"".join(content for kind, content in chunks(data) if kind == "IDAT"))
    return tuple(rows[1 : 5 if facts(data)[2] == 6 else 4])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
