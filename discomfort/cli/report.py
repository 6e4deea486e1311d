"""The results of a run: saved, shown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort._system.filenames import safe_filename
from discomfort.cli.terminal import Terminal, clean, describe
from discomfort.exceptions import DiscomfortError

if TYPE_CHECKING:
    from discomfort.client.outputs import Output

_NARROW = 72
"""Columns below which a table would wrap its paths too often: each output becomes a short block instead."""
_ERROR_FIELDS = (
    "node_id",
    "class_type",
    "title",
    "exception_type",
    "exception_message",
    "traceback",
    "exit_code",
    "signal",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One output: its node, and its path, text or value. ``key`` is the name of its list in the history."""

    node_id: str
    title: str
    class_type: str
    kind: str
    key: str
    path: Path | None = None
    value: Any = None

    @property
    def shown(self) -> str:
        """The saved path, the text, or the value as JSON."""
        if self.path is not None:
            return str(self.path)
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False, default=str)

    def as_json(self) -> JsonObject:
        """The row in the form of ``--json``: ``path`` (absolute) for files, ``text`` for text, else ``value``."""
        row: JsonObject = {
            "node_id": self.node_id,
            "title": self.title,
            "class_type": self.class_type,
            "kind": self.kind,
            "key": self.key,
        }
        if self.path is not None:
            row["path"] = str(self.path.absolute())
        else:
            row["text" if self.kind == "text" else "value"] = self.value
        return row


@dataclass(slots=True)
class Result:
    """One run: the history and its outputs, or the error.

    ``index`` counts the runs of the command from 1, ``values`` are those that ``--set`` and ``--csv`` gave it.
    ``is_skipped``: its file was there already. ``server`` is the server of a pool that did it.
    """

    workflow: str
    history: Mapping[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    error: BaseException | None = None
    seconds: float = 0.0
    index: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)
    is_skipped: bool = False
    server: str = ""

    @property
    def prompt_id(self) -> str | None:
        """The prompt's id, if it got one."""
        first = next(iter(self.history), None)
        return first if first is not None else getattr(self.error, "prompt_id", None)

    def as_json(self) -> JsonObject:
        """The run in the form of ``--json``."""
        return {
            "workflow": self.workflow,
            "index": self.index,
            "values": dict(self.values),
            "prompt_id": self.prompt_id,
            **({"server": self.server} if self.server else {}),
            "status": "error" if self.error is not None else "skipped" if self.is_skipped else "success",
            "seconds": round(self.seconds, 3),
            "outputs": [row.as_json() for row in self.rows],
            "history": self.history,
            "error": error_as_json(self.error),
        }


def error_as_json(error: BaseException | None) -> JsonObject | None:
    """Type, message and fields of an error; ``None`` without one."""
    if error is None:
        return None
    told: JsonObject = {"type": type(error).__name__, "message": describe(error)}
    for name in _ERROR_FIELDS:
        value = getattr(error, name, None)
        if value is not None:
            told[name] = list(value) if isinstance(value, tuple) else value
    problems = getattr(error, "problems", None) or getattr(error, "missing", None)
    if problems:
        told["problems"] = [str(problem) for problem in problems]
    return told


async def save_outputs(
    outputs: Sequence[Output],
    directory: Path,
    rows: list[Row],
    *,
    server_folder: Path | None = None,
    name: str | None = None,
) -> None:
    """Save every output file, and append a row to ``rows`` for each output before the first error.

    ``server_folder`` is the server's own output folder, if known: a file that the server saved in ``directory`` itself
    is not saved there again. With ``name``, a path below ``directory`` without extension, the first file has that name,
    the next ones ``name_2``, ``name_3`` …; the first is saved last, so that it stands for a complete run.

    Raises OSError, ServerError.
    """
    files = [output for output in outputs if output.filename is not None]
    paths: dict[int, Path] = {}
    if name is not None:
        for number, output in reversed(list(enumerate(files, 1))):
            paths[id(output)] = await _save_as(output, directory, name if number == 1 else f"{name}_{number}")
    for output in outputs:
        path = paths.get(id(output))
        if output.filename is not None and path is None:
            path = await to_thread(_in_place, output, directory, server_folder)
            path = path or await _save(output, directory)
        rows.append(
            Row(
                node_id=output.node_id,
                title=output.title or output.class_type,
                class_type=output.class_type,
                kind=output.kind,
                key=output.key,
                path=path,
                value=None if path else output.value,
            )
        )


async def _save_as(output: Output, directory: Path, name: str) -> Path:
    wanted = directory / name
    suffix = Path(str(output.filename)).suffix or ".bin"
    return await _save(output, wanted.parent, safe_filename(wanted.name + suffix))


async def _save(output: Output, directory: Path, name: str | None = None) -> Path:
    try:
        return Path(await output.save(directory, name))
    except OSError as error:
        # What a full disk raises while a file is written names neither file nor folder.
        if error.filename is None and error.errno is not None and not isinstance(error, DiscomfortError):
            raise OSError(error.errno, error.strerror, str(directory)) from None
        raise


def _in_place(output: Output, directory: Path, server_folder: Path | None) -> Path | None:
    """The path of the file below ``directory``, if the server saved it there."""
    if server_folder is None or output.folder != "output":
        return None
    wanted, folder = directory.resolve(), server_folder.resolve()
    # Names and subfolders come from the server: paths that lead elsewhere are downloaded, which makes names safe.
    file = (folder / (output.subfolder or "") / str(output.filename)).resolve()
    if not file.is_relative_to(folder) or not file.is_relative_to(wanted) or not file.is_file():
        return None
    return directory / file.relative_to(wanted)


def show_result(terminal: Terminal, result: Result, *, several: bool) -> None:
    """The outputs of one run on stdout: a table on a terminal, else the paths and texts, one per line."""
    if not terminal.out_is_terminal:
        for row in result.rows:
            terminal.write(f"{row.shown}\n")
        return
    if not result.rows:
        return
    if terminal.out.width < _NARROW:
        terminal.show(_block(result))
    else:
        terminal.show(_table(result, several=several))


def seconds_text(value: float) -> str:
    """How long a run took."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def _table(result: Result, *, several: bool) -> Table:
    title = Text(clean(result.workflow)) if several else None
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Node", style="cyan", no_wrap=True)
    table.add_column("Title", overflow="fold", max_width=28)
    table.add_column("Class", overflow="fold", max_width=28, style="dim")
    table.add_column("Kind", no_wrap=True)
    table.add_column("Output", overflow="fold")
    for row in result.rows:
        cells = (row.node_id, row.title, row.class_type, row.kind, row.shown)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    return table


def _block(result: Result) -> Text:
    lines = []
    for row in result.rows:
        lines.append(Text.assemble((clean(row.node_id), "cyan"), f" {clean(row.title)} ({clean(row.kind)})"))
        lines.append(Text("  " + clean(row.shown).replace("\n", "\n  "), overflow="fold"))
    return Text("\n").join(lines)
