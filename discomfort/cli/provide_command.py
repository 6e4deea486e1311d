"""``discomfort provide``: fetches what workflows lack, after showing it and asking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import in_own_thread
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import FAILED
from discomfort.cli.inputs import Source
from discomfort.cli.report import Result, error_as_json
from discomfort.cli.terminal import Terminal, clean
from discomfort.cli.transfer_bars import TransferBars
from discomfort.exceptions import ProvideError

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.provision.proposal import Proposal
    from discomfort.provision.provide_report import ProvideReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideCommandOptions:
    """The options of ``discomfort provide``; ``how`` are further arguments of the connector's ``provide``."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    values: Mapping[str, Any] = field(default_factory=dict)
    yes: bool = False
    dry_run: bool = False
    json: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)


def provide_command(
    options: ProvideCommandOptions, terminal: Terminal, *, ask: Callable[[str], bool] | None = None
) -> int:
    """Provide for every workflow and return the exit code: 1 if something is still missing."""
    batch = ProvideBatch(options, terminal, ask)
    code = batch.execute()
    if options.json:
        terminal.write_documents([batch.document(result) for result in batch.results])
    return code


class ProvideBatch(Batch):
    """Plans each workflow, shows what would be fetched, asks, and fetches it."""

    stopping_means = "stopping; what has arrived is kept"

    def __init__(
        self, options: ProvideCommandOptions, terminal: Terminal, ask: Callable[[str], bool] | None = None
    ) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options
        self._ask = ask or (_confirm if sys.stdin.isatty() and not options.json else None)
        self._found: dict[int, ProvideReport] = {}

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Provide for one workflow."""
        options, source = self._options, job.source
        self.display.phase(f"{source.label}: planning")
        plan = await connector.plan(source.payload, options.values)
        self.display.close()
        bars = TransferBars(self.terminal)
        consent = None if self._ask is None or options.yes else self._agreed
        try:
            report = await connector.provide(
                plan, yes=options.yes, consent=consent, dry_run=options.dry_run, on_progress=bars.show, **options.how
            )
        except ProvideError as error:
            if error.report is not None:
                self._tell(result, error.report)
            raise
        finally:
            bars.close()
        self._tell(result, report)
        if not report.is_complete:
            self._codes.add(FAILED)

    async def _agreed(self, proposal: Proposal) -> bool:
        ask = self._ask
        self.terminal.note(str(proposal))
        # In a thread: a signal is handled while the question stands.
        return ask is not None and await in_own_thread(lambda: ask("Fetch and install this?"))

    def _tell(self, result: Result, report: ProvideReport) -> None:
        self._found[result.index] = report
        if self._options.json:
            return
        if report.is_dry_run:
            self.terminal.write(clean(str(report.proposal)) + "\n")
        else:
            self.terminal.write(clean(str(report)) + "\n")

    def document(self, result: Result) -> JsonObject:
        """One workflow's report in the form of ``--json``."""
        report = self._found.get(result.index)
        facts: JsonObject = {} if report is None else report.to_json()
        return {"workflow": result.workflow, **facts, "error": error_as_json(result.error)}


def _confirm(question: str) -> bool:
    import typer

    return typer.confirm(question, err=True)
