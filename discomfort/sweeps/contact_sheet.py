"""Contact sheets: all results of a sweep on one picture, each with its values below. Blocking."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort.sweeps.sweep_folder import SweepFolder
from discomfort.sweeps.sweep_results import SweepResult
from discomfort.sweeps.thumbnails import thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SHEET_NAME = "contact_sheet"
SIDE = 256
"""Pixels of the longer side of a picture."""
_GAP, _LINE, _LINES = 12, 18, 3
_TEXT_SIZE = 14
_MOST_CELLS = 144
"""Results on one sheet; the next ones get another: viewers have trouble with larger pictures."""
_WIDEST = 12


def write_sheets(held: SweepFolder, rows: Sequence[SweepResult], columns: int | None = None) -> tuple[Path, ...]:
    """Write the sheets of all rows that have ended, replacing older ones. Returns their paths.

    ``columns`` is how many results a line has. A row that failed, or that has no picture, has
    text in its place. Raises OSError, DiskFullError among them.
    """
    shown = [row for row in rows if row.status != "waiting"]
    if not any(row.files or row.texts for row in shown):
        shown = []
    columns = columns if columns and columns <= _WIDEST else min(_WIDEST, math.ceil(math.sqrt(len(shown) or 1)))
    per_sheet = max(columns, _MOST_CELLS // columns * columns)
    paths = []
    for number, start in enumerate(range(0, len(shown), per_sheet), 1):
        stream = io.BytesIO()
        _sheet(shown[start : start + per_sheet], columns).save(stream, "JPEG", quality=88)
        paths.append(held.write(_name(number), stream.getvalue()))
    # Sheets of an earlier run that had more of them.
    number = len(paths) + 1
    while (old := held.path / _name(number)).is_file():
        old.unlink()
        number += 1
    return tuple(paths)


def _name(number: int) -> str:
    return f"{SHEET_NAME}.jpg" if number == 1 else f"{SHEET_NAME}_{number}.jpg"


def _sheet(rows: Sequence[SweepResult], columns: int) -> Image:
    from PIL import Image, ImageDraw

    wide, high = SIDE + _GAP, SIDE + _LINES * _LINE + _GAP
    columns = min(columns, len(rows))
    sheet = Image.new("RGB", (columns * wide + _GAP, math.ceil(len(rows) / columns) * high + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        left, top = _GAP + number % columns * wide, _GAP + number // columns * high
        _cell(sheet, draw, row, left, top)
    return sheet


def _cell(sheet: Image, draw: ImageDraw, row: SweepResult, left: int, top: int) -> None:
    picture = next((made for file in row.files if (made := thumbnail(file.path, SIDE)) is not None), None)
    if picture is not None:
        sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
    else:
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline="#bbbbbb")
        colour = "#a02020" if row.error else "#444444"
        _text(draw, _instead(row), left + 6, top + 6, SIDE - 12, (SIDE - 12) // _LINE, colour)
    _text(draw, row.label or row.name, left, top + SIDE + 2, SIDE, _LINES, "black")


def _instead(row: SweepResult) -> str:
    if row.error:
        return f"failed: {row.error}"
    return "\n".join([file.path.name for file in row.files] + [str(text) for text in row.texts.values()])


def _text(draw: ImageDraw, text: str, left: int, top: int, width: int, lines: int, colour: str) -> None:
    """Text broken to the width; what does not fit into the lines ends in dots."""
    font = _font()
    broken = _broken(text[:2000], width, font, lines + 1)
    if len(broken) > lines:
        broken = [*broken[: lines - 1], broken[lines - 1][:-1] + "…"]
    for number, line in enumerate(broken):
        draw.text((left, top + number * _LINE), line, fill=colour, font=font)


def _broken(text: str, width: int, font: Any, most: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = "".join(character if character.isprintable() else " " for character in paragraph)
        while len(lines) < most:
            # The longest beginning that fits, at least one character.
            fits = bisect.bisect(range(1, min(len(rest), width)), width, key=lambda n: font.getlength(rest[:n])) or 1
            if len(rest) <= fits + 1 and font.getlength(rest) <= width:
                lines.append(rest)
                break
            # At the last blank, if there is one in the second half.
            cut = rest.rfind(" ", 0, fits) + 1
            cut = cut if cut > fits // 2 else fits
            lines.append(rest[:cut])
            rest = rest[cut:]
    return lines[:most]


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(_TEXT_SIZE)
