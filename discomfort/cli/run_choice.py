"""The choice of ``discomfort run`` between its two kinds: batches of runs, or workflows with ports as one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from discomfort.cli.connect import ServerTarget
from discomfort.cli.inputs import (
    Source,
    UsageError,
    check_directory,
    check_files,
    check_timeout,
    read_pairs,
    read_sources,
)
from discomfort.cli.named_calls import divided
from discomfort.cli.output_names import read_pattern
from discomfort.cli.pool_choice import PoolChoice
from discomfort.cli.port_run import ListOptions, check_iterations, list_command, refuse_batches, wants_list
from discomfort.cli.run import RunOptions
from discomfort.cli.run_command import run_command
from discomfort.cli.terminal import Terminal
from discomfort.cli.variants import read_variants


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRun:
    """The options of ``discomfort run`` as they were given, not checked yet.

    ``named`` has the texts of ``--NAME``; ``own`` are the options that the command has itself.
    """

    workflows: Sequence[str]
    target: ServerTarget
    named: Mapping[str, str | None]
    own: Sequence[str]
    values: Sequence[str]
    files: Sequence[str]
    iterations: int | None
    assignments: Sequence[str]
    repeat: int
    csv: Path | None
    inputs: Sequence[Path]
    output: Path
    name: str | None
    sidecar: Path | None
    skip_existing: bool
    json: bool
    timeout: float | None
    allow_paid: bool | None
    pool: PoolChoice | None = None
    retry: int = 0

    def perform(self, terminal: Terminal) -> int:
        """Do what is asked for, and return the exit code. Raises UsageError, OSError before a server is started."""
        check_files(self.inputs)
        check_directory(self.output)
        sources = read_sources(self.workflows)
        is_list = bool(self.files) or self.iterations is not None
        given, named = divided(self.named, read_pairs("--in", self.values), sources, is_list=is_list)
        if named or not wants_list(sources, list(given), self.files, self.iterations):
            return run_command(self._batches(sources, named), terminal)
        return list_command(self._list(sources, given), terminal)

    def _list(self, sources: Sequence[Source], given: Mapping[str, str]) -> ListOptions:
        refuse_batches(
            {
                "--pool": self.pool,
                "--set": self.assignments,
                "--repeat": self.repeat != 1,
                "--csv": self.csv,
                "--name": self.name,
                "--skip-existing": self.skip_existing,
            }
        )
        return ListOptions(
            sources=sources,
            target=self.target,
            given=given,
            files=read_pairs("--out", self.files),
            iterations=check_iterations(self.iterations),
            uploads=self.inputs,
            output=self.output,
            json=self.json,
            timeout=check_timeout(self.timeout),
            allow_paid=self.allow_paid,
        )

    def _batches(self, sources: Sequence[Source], named: Mapping[str, str | None]) -> RunOptions:
        variants = read_variants(self.assignments, self.csv, self.repeat)
        if self.skip_existing and self.name is None:
            raise UsageError("--skip-existing needs --name: without it the server chooses the names of the files")
        return RunOptions(
            sources=sources,
            target=self.target,
            variants=variants,
            inputs=self.inputs,
            output=self.output,
            name=None if self.name is None else read_pattern(self.name),
            skip_existing=self.skip_existing,
            json=self.json,
            lines=len(variants) > 1 or self.csv is not None,
            timeout=check_timeout(self.timeout),
            named=named,
            sidecar=self.sidecar,
            own=self.own if named else (),
            allow_paid=self.allow_paid,
            pool=self.pool,
            retry=self.retry,
        )
