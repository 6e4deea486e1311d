"""Tables of a sweep for notebooks, as HTML with small pictures in it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from discomfort.sweeps.thumbnails import thumbnail

_MOST_PICTURES = 60
_MOST_ROWS = 500
"""Rows and pictures that are shown: a notebook keeps everything that it shows."""
_SIDE = 128


class ShownFile(Protocol):
    """What is needed of a file."""

    @property
    def path(self) -> Path:
        """Its path."""
        ...

    @property
    def kind(self) -> str:
        """``image``, ``video`` …"""
        ...


class ShownRow(Protocol):
    """What is needed of a row."""

    @property
    def index(self) -> int:
        """Its number."""
        ...

    @property
    def label(self) -> str:
        """Its values."""
        ...

    @property
    def status(self) -> str:
        """``done``, ``failed`` or ``waiting``."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether it was made now."""
        ...

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        ...

    @property
    def error(self) -> str | None:
        """Why it failed."""
        ...

    @property
    def files(self) -> Sequence[ShownFile]:
        """Its files."""
        ...

    @property
    def texts(self) -> Mapping[str, Any]:
        """Its other outputs."""
        ...


def report_html(rows: Sequence[ShownRow]) -> str:
    """A table of all rows, the first pictures included."""
    counts = {status: sum(row.status == status for row in rows) for status in ("done", "failed", "waiting")}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no rows"
    lines, pictures = [], 0
    for row in rows[:_MOST_ROWS]:
        cell = ""
        for file in row.files:
            if file.kind == "image" and pictures < _MOST_PICTURES:
                pictures += 1
                cell += _picture(file.path)
            else:
                cell += f"<div>{html.escape(file.path.name)}</div>"
        cell += "".join(f"<pre>{html.escape(str(text)[:2000])}</pre>" for text in row.texts.values())
        lines.append(_line(row, cell))
    rest = f"<p>and {len(rows) - _MOST_ROWS} more rows</p>" if len(rows) > _MOST_ROWS else ""
    head = "<tr><th></th><th>values</th><th>status</th><th>seconds</th><th>result</th></tr>"
    return f"<p>{told}</p><table>{head}{''.join(lines)}</table>{rest}"


def progress_html(
    row: ShownRow, ended: int, total: int, failed: int, left: float | None, recent: Sequence[ShownRow]
) -> str:
    """A bar over all rows, and the rows that ended last."""
    told = f"{ended} of {total} rows" + (f", {failed} failed" if failed else "")
    if left is not None and ended < total:
        told += f", about {left:.0f} s left"
    bar = f'<progress value="{ended}" max="{max(total, 1)}" style="width: 24em"></progress>'
    lines = "".join(_line(each, ", ".join(html.escape(file.path.name) for file in each.files)) for each in recent)
    return f"<div>{bar} {told}<br>{html.escape(row.label)}</div><table>{lines}</table>"


def _line(row: ShownRow, result: str) -> str:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    status = row.status if row.is_new or row.status != "done" else "there already"
    if row.error:
        result += f"<pre>{html.escape(row.error[:2000])}</pre>"
    cells = (str(row.index), html.escape(row.label), status, seconds, result)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _picture(path: Path) -> str:
    picture = thumbnail(path, _SIDE)
    if picture is None:
        return f"<div>{html.escape(path.name)}</div>"
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    source = base64.b64encode(stream.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{source}" alt="{html.escape(path.name, quote=True)}">'
