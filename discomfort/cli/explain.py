"""``discomfort explain``: what a conversion does with each node of a workflow, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from discomfort._json import JsonObject
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import FAILED
from discomfort.cli.inputs import Source, UsageError
from discomfort.cli.report import Result, error_as_json
from discomfort.cli.terminal import Terminal, clean

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.conversion.explanation import Explanation

_STYLES = {"kept": "green", "missing": "bold red", "muted": "dim", "bypassed": "dim", "dropped": "dim"}
_PATHS = {"browser": "browser", "cache": "prompt cache", "native": "native path"}
_NARROW = 72


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """The options of ``discomfort explain``."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    json: bool = False


def explain_command(options: ExplainOptions, terminal: Terminal) -> int:
    """Explain every workflow and return the exit code: 1 also if node types are missing."""
    batch = ExplainBatch(options, terminal)
    code = batch.execute()
    if options.json:
        terminal.write_documents([batch.document(result) for result in batch.results])
    return code


class ExplainBatch(Batch):
    """Converts each workflow and shows what became of its nodes."""

    def __init__(self, options: ExplainOptions, terminal: Terminal) -> None:
        super().__init__([_workflow_only(source) for source in options.sources], options.target, terminal)
        self._as_json = options.json
        self._found: dict[int, Explanation] = {}

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Explain one workflow."""
        self.display.phase(f"{job.source.label}: converting")
        found = self._found[result.index] = await connector.explain(job.source.payload)
        self.display.close()
        if not self._as_json:
            self._show(job.source, found)
        counts = Counter(fate.outcome for fate in found.nodes)
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        by = _PATHS[found.path]
        self.terminal.note(f"{job.source.name}: converted by the {by}; {len(found.nodes)} nodes: {told}")
        if found.missing:
            self._codes.add(FAILED)
            self._advise(connector, found)

    def document(self, result: Result) -> JsonObject:
        """One workflow's explanation in the form of ``--json``."""
        found = self._found.get(result.index)
        facts: JsonObject = {} if found is None else found.to_dict()
        return {"workflow": result.workflow, **facts, "error": error_as_json(result.error)}

    def _advise(self, connector: ComfyConnector, found: Explanation) -> None:
        if connector.engine == "emulator":
            self.terminal.warn(
                "this is the embedded emulator, which has only the core nodes that need no model; "
                "set COMFYUI_PATH to a ComfyUI to see which nodes are missing there"
            )
        else:
            self.terminal.warn(found.remedy)

    def _show(self, source: Source, found: Explanation) -> None:
        if not self.terminal.out_is_terminal:
            prefix = f"{source.name}: " if len(self.sources) > 1 else ""
            self.terminal.write("".join(f"{prefix}{clean(str(fate))}\n" for fate in found.nodes))
        elif self.terminal.out.width < _NARROW:
            lines = [Text(clean(str(fate)), _STYLES.get(fate.outcome, ""), overflow="fold") for fate in found.nodes]
            self.terminal.show(Text("\n").join(lines))
        else:
            self.terminal.show(_table(source, found, several=len(self.sources) > 1))


def _table(source: Source, found: Explanation, *, several: bool) -> Table:
    title = Text(clean(source.name)) if several else None
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Node", style="cyan", no_wrap=True)
    table.add_column("Title", overflow="fold", max_width=28)
    table.add_column("Class", overflow="fold", max_width=28, style="dim")
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for fate in found.nodes:
        outcome = Text(fate.outcome, _STYLES.get(fate.outcome, ""))
        shown = (fate.node_id, fate.title or "", fate.class_type)
        table.add_row(*(Text(clean(cell)) for cell in shown), outcome, Text(clean(fate.reason)))
    return table


def _workflow_only(source: Source) -> Source:
    if source.error is not None or source.kind == "workflow":
        return source
    problem = "is a prompt already; explain describes how a workflow, as saved by the UI, is converted"
    return replace(source, error=UsageError(problem))
