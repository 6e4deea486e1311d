"""``discomfort stubs``: modules with the types of workflows, for editors and type checkers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from discomfort._system.atomic_files import write_atomically
from discomfort._system.concurrency import to_thread
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.inputs import STDIN, Source, UsageError
from discomfort.cli.interface_command import INTERFACE_LOGGER, load
from discomfort.cli.report import Result
from discomfort.cli.terminal import Terminal

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.functions.function_stubs import StubModule

_SUFFIXES = (".py", ".pyi")
_MARK = b"discomfort stubs"
_HEAD = 1000
"""Bytes in which a file that was made here says so."""


@dataclass(frozen=True, slots=True)
class StubOptions:
    """The options of ``discomfort stubs``; the files are written into ``output``."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    sidecar: Path | None = None
    output: Path = Path("stubs")


def stubs_command(options: StubOptions, terminal: Terminal) -> int:
    """Write the stubs of every workflow, and return the exit code."""
    from discomfort.functions.function_stubs import module_name

    taken: dict[str, str] = {}
    for source in options.sources:
        if source.name == STDIN:
            raise UsageError("the stubs load the workflow from its file: standard input has none")
        module = module_name(source.name)
        if taken.setdefault(module, source.name) != source.name:
            raise UsageError(f"{taken[module]} and {source.name} would both be the module {module}: rename one of them")
        for suffix in _SUFFIXES:
            _check_free(options.output / f"{module}{suffix}")
    return StubBatch(options, terminal).execute()


def _check_free(path: Path) -> None:
    """Raises UsageError if the file was not made by this command; its own are replaced."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if _MARK in file.read(_HEAD):
            return
    raise UsageError(f"{path} is there, and discomfort stubs has not made it: choose another folder with -o")


class StubBatch(Batch):
    """Loads each workflow, and writes its module."""

    hidden_logger = INTERFACE_LOGGER

    def __init__(self, options: StubOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Write the two files of one workflow."""
        from discomfort.functions.function_stubs import stub_module

        self.display.phase(f"{job.source.label}: loading")
        function = await load(connector, job.source, self._options.sidecar)
        folder, sidecar = self._options.output, self._options.sidecar
        way = await to_thread(_way, folder, Path(job.source.name))
        beside = None if sidecar is None else await to_thread(_way, folder, sidecar)
        made = stub_module(function.interface, way, beside)
        await to_thread(_write, folder, made)
        self.display.close()
        for problem in function.interface.problems:
            self.terminal.warn(f"{job.source.name}: {problem}")
        self.terminal.write(f"{folder / made.name}.pyi\n")


def _way(folder: Path, file: Path) -> str:
    """The path of a file from the stubs, so that both can move together."""
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()


def _write(folder: Path, made: StubModule) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in zip(_SUFFIXES, (made.code, made.types), strict=True):
        write_atomically(folder / f"{made.name}{suffix}", text.encode())
