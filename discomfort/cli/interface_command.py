"""``discomfort interface``: the named inputs and outputs of workflows, shown, or written as a sidecar."""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from discomfort._json import JsonObject
from discomfort._system.atomic_files import write_atomically
from discomfort._system.concurrency import to_thread
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import FAILED
from discomfort.cli.inputs import STDIN, Source, UsageError
from discomfort.cli.report import Result, error_as_json
from discomfort.cli.terminal import Terminal, clean
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sidecar_draft import sidecar_draft
from discomfort.workflow.interface.sidecar_names import SIDECAR_SUFFIXES, sidecar_path

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.functions.workflow_function import WorkflowFunction


INTERFACE_LOGGER = "discomfort.interface"
"""The logger that ``load`` warns with of the problems of an interface."""


@dataclass(frozen=True, slots=True)
class InterfaceOptions:
    """The options of ``discomfort interface``. ``sidecar`` is a file; ``None`` means the one beside each workflow."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    sidecar: Path | None = None
    write: bool = False
    force: bool = False
    json: bool = False


async def load(connector: ComfyConnector, source: Source, sidecar: Path | None = None) -> WorkflowFunction:
    """The function of one workflow, by its file, beside which its sidecar is."""
    return await connector.load(payload_of(source), sidecar)


def payload_of(source: Source) -> JsonObject | Path:
    """What is loaded: the file, so that its sidecar is found, or what standard input had."""
    return source.payload if source.name == STDIN else Path(source.name)


def interface_command(options: InterfaceOptions, terminal: Terminal) -> int:
    """Show every interface, and return the exit code: 1 if an entry of a source could not be used."""
    if options.write:
        _check_sidecars(options)
    batch = InterfaceBatch(options, terminal)
    code = batch.execute()
    if options.json:
        terminal.write_documents([batch.document(result) for result in batch.results])
    return code


def sidecar_file(source: Source) -> Path:
    """``upscale.discomfort.yaml`` beside ``upscale.json``. Raises UsageError for standard input."""
    if source.name == STDIN:
        raise UsageError("--write: standard input has no folder for the file; name the workflow's file")
    return sidecar_path(Path(source.name))


def _check_sidecars(options: InterfaceOptions) -> None:
    """Raises UsageError before a server is started, if a file is there or two workflows have the same."""
    taken: dict[Path, str] = {}
    for source in options.sources:
        file = sidecar_file(source)
        if taken.setdefault(file, source.name) != source.name:
            raise UsageError(f"--write: {taken[file]} and {source.name} would both have {file}")
        if os.path.lexists(file) and not options.force:
            raise UsageError(
                f"{file} is there already: --force replaces it (its entries are kept, its comments are not)"
            )
        for suffix in SIDECAR_SUFFIXES[1:]:
            other = sidecar_path(Path(source.name), suffix)
            if os.path.lexists(other):
                raise UsageError(f"{other} is there already, and a workflow has one sidecar: edit it, or remove it")


class InterfaceBatch(Batch):
    """Loads each workflow, and shows or writes its interface."""

    hidden_logger = INTERFACE_LOGGER

    def __init__(self, options: InterfaceOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options
        self._found: dict[int, Interface] = {}

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Show one interface."""
        source = job.source
        self.display.phase(f"{source.label}: loading")
        function = await load(connector, source, self._options.sidecar)
        found = self._found[result.index] = function.interface
        written = None
        if self._options.write:
            written = sidecar_file(source)
            self._check_loss(found, written)
            definitions = await connector._node_definitions()
            draft = sidecar_draft(found, function.prompt, definitions, source.label)
            await to_thread(write_atomically, written, draft.encode())
        self.display.close()
        self._show(source, found, written)
        if found.problems:
            self._codes.add(FAILED)

    def _check_loss(self, found: Interface, file: Path) -> None:
        """Raises UsageError if the file that is replaced has entries that the draft does not have."""
        lost = [problem for problem in found.problems if problem.source == "sidecar"]
        if not lost or self._options.sidecar is not None:
            return
        self.display.close()
        for problem in lost:
            self.terminal.warn(str(problem))
        raise UsageError(f"{file} was not replaced: what is wrong in it would be lost. Mend it, or remove the file")

    def _show(self, source: Source, found: Interface, written: Path | None) -> None:
        if written is not None:
            self._show_written(source, found, written)
        elif not self._options.json:
            title = f"{source.name}\n" if len(self.sources) > 1 else ""
            self.terminal.write(clean(f"{title}{found}\n"))
        if not found.inputs:
            for line in self._next_steps(source, written):
                self.terminal.note(line)

    def _show_written(self, source: Source, found: Interface, written: Path) -> None:
        self.terminal.note(f"{source.name}: inputs: {len(found.inputs)}, outputs: {len(found.outputs)}")
        for problem in found.problems:
            self.terminal.warn(f"{source.name}: {problem}")
        if importlib.util.find_spec("yaml") is None:
            self.terminal.warn(f"{written} is read with PyYAML: pip install pyyaml")
        if not self._options.json:
            self.terminal.write(f"{written}\n")

    def _next_steps(self, source: Source, written: Path | None) -> list[str]:
        """What to do about a workflow without named inputs."""
        name = "WORKFLOW" if source.name == STDIN else shlex.quote(source.name)
        file = self._options.sidecar or (None if source.name == STDIN else sidecar_file(source))
        if written is not None:
            first = f"{written} has all candidates as comments: remove the # before those that you want"
        elif file is None:
            first = f"{source.label}: no input has a name: save it in a file, and write a sidecar with --write"
        elif file.exists():
            first = f"{source.label}: no input has a name: write some into {file}"
        else:
            command = f"discomfort interface {name} --write"
            first = f"{source.label}: no input has a name: {command} makes {file} with all candidates, to be edited"
        return [first, f"discomfort run {name} --set NODE.INPUT=VALUE sets any input without a name"]

    def document(self, result: Result) -> JsonObject:
        """One workflow's interface in the form of ``--json``."""
        found = self._found.get(result.index)
        facts: JsonObject = {} if found is None else {**found.as_json(), "schema": found.json_schema()}
        return {"workflow": result.workflow, **facts, "error": error_as_json(result.error)}
