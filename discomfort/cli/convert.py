"""``discomfort convert``: workflows in, API prompts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from discomfort import _json
from discomfort._json import JsonObject
from discomfort._system.atomic_files import write_atomically
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.inputs import STDIN, Source, UsageError
from discomfort.cli.report import Result
from discomfort.cli.terminal import Terminal

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector

SUFFIX = ".prompt.json"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """The options of ``discomfort convert``; ``files`` has a target for each source, or is empty for stdout."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    files: Sequence[Path] = ()


def plan_files(names: Sequence[str], output: Path | None) -> list[Path]:
    """The file of each prompt: FILE for one workflow, ``DIR/<name>.prompt.json`` for several or for a folder.

    Raises UsageError if two would get the same file, or one would replace a workflow that is read.
    """
    if output is None:
        return []
    as_folder = len(names) > 1 or output.is_dir()
    if as_folder and output.exists() and not output.is_dir():
        raise UsageError(f"--output {output}: a folder is needed for {len(names)} workflows, but that is a file")
    stems = ["stdin" if name == STDIN else Path(name).stem for name in names]
    files = [output / f"{stem}{SUFFIX}" for stem in stems] if as_folder else [output]
    if len(set(files)) < len(files):
        raise UsageError("two workflows have the same file name; convert them one by one")
    read = {Path(name).resolve() for name in names if name != STDIN}
    clash = next((file for file in files if file.resolve() in read), None)
    if clash is not None:
        raise UsageError(f"--output {clash}: that would replace the workflow itself")
    return files


def convert_command(options: ConvertOptions, terminal: Terminal) -> int:
    """Convert every workflow and return the exit code."""
    batch = ConvertBatch(options, terminal)
    code = batch.execute()
    if not options.files and batch.prompts:
        alone = len(options.sources) == 1
        terminal.write_json(next(iter(batch.prompts.values())) if alone else batch.prompts)
    return code


class ConvertBatch(Batch):
    """Converts each workflow; ``prompts`` has the results by the workflow's name."""

    def __init__(self, options: ConvertOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._files = options.files
        self.prompts: dict[str, JsonObject] = {}

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Convert one workflow, and write the prompt to its file, if any."""
        source = job.source
        self.display.phase(f"{source.label}: converting")
        prompt = await connector.get_prompt_from_workflow(source.payload)
        if self._files:
            file = self._files[job.position]
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, _json.dumps(prompt) + b"\n")
            self.display.close()
            self.terminal.write(f"{file}\n")
        self.prompts[source.name] = prompt
