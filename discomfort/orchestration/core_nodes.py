"""Tier 3 of transport: uploads, and nodes that every ComfyUI has, for a server that has none of ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, to_thread
from discomfort.context.exchange import LOADER
from discomfort.context.run_view import RunView
from discomfort.core_values.core_files import ValueFile
from discomfort.core_values.core_inputs import Shipment, loss_of, packed, problem_of
from discomfort.core_values.core_outputs import LATENT_FOLDER, Collector, output_classes, output_kind
from discomfort.exceptions import PortError
from discomfort.history import History
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Arrivals, Passage, WantedValue, plain_reference_sink
from discomfort.orchestration.worker import Worker
from discomfort.workflow.compilation import Recipe, Sink
from discomfort.workflow.pass_by import BY_VALUE
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference

if TYPE_CHECKING:
    from discomfort.client.outputs import Output

_log = logging.getLogger("discomfort.run")

_FOLDER = "discomfort"
"""Folder in the server's temporary folder, which the server empties when it starts."""
_UPLOADED = re.compile(rf"{_FOLDER}/([0-9a-f]{{32}}\.(?:png|latent|wav)) \[temp\]")
_MOST_SHIPMENTS = 1000
_REMEDY = (
    "Clone this library into the server's folder custom_nodes, set DISCOMFORT_TOKEN in its environment and restart it, "
    "or have Discomfort.create() start a server, then everything passes"
)
_LOSSES = (
    "pictures and masks pass as PNG files of 8 bits; exact=True refuses what that changes",
    "of a latent, samples and noise mask go in, and only the samples come back",
    "sound goes in, and does not come back; lists of pictures and values of other types do not pass",
    "uploaded files stay in the server's temporary folder until it starts again",
    f"latents that come back stay in the folder {LATENT_FOLDER} of its output folder",
)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A value whose files are on the server: ``places`` has what an input takes for each, ``sent`` had to be sent."""

    shipment: Shipment
    places: Mapping[str, str]
    sent: int = 0


class Uploads:
    """Uploads to the server of one worker, in all calls. Those of the last values are remembered."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._known: dict[tuple[str, str], Shipped] = {}

    async def ship(self, value: WantedValue) -> Shipped:
        """Have the files of a value on the server. Raises ServerError."""
        key = _key(value)
        known = None if key is None else self._known.get(key)
        if known is not None and await self._are_there(known):
            return replace(known, sent=0)
        shipment, files = await to_thread(packed, value.plan.value, value.type)
        places: dict[str, str] = {}
        for file in files:
            if file.name not in places:
                places[file.name] = await self._upload(file)
        made = Shipped(shipment, places, len(places))
        if key is not None:
            self._known[key] = made
            while len(self._known) > _MOST_SHIPMENTS:
                del self._known[next(iter(self._known))]
        return made

    async def _are_there(self, known: Shipped) -> bool:
        for name in known.places:
            if not await self.is_there(name):
                return False
        return True

    async def is_there(self, name: str) -> bool:
        """Whether the server has a file under its name. Raises ServerError."""
        return await self._worker._has_file(name, _FOLDER, "temp")

    async def _upload(self, file: ValueFile) -> str:
        try:
            made = await self._worker.upload(file.data, name=file.name, folder_type="temp", subfolder=_FOLDER)
        except FileExistsError:  # on an owned server; its content is the same, since its name is
            return f"{_FOLDER}/{file.name} [temp]"
        return f"{made.value} [temp]"


def _key(value: WantedValue) -> tuple[str, str] | None:
    """Names the content of a value that a context has in a file, which never changes."""
    if value.record is None or value.record.file is None or value.plan.is_changed:
        return None
    return value.record.file, value.type


@dataclass(slots=True)
class CoreNodes:
    """The transport of a server without our nodes. ``reason`` says why it is used as one.

    ``has_port``: it has them, but they see nothing of this program.
    With ``is_exact`` nothing passes that would change on the way.
    """

    definitions: Mapping[str, Any]
    worker: Worker
    uploads: Uploads
    reason: str
    has_port: bool = False
    is_exact: bool = False
    tier: int = 3
    losses: Sequence[str] = _LOSSES
    sent_files: int = 0
    made_latents: int = 0
    _told: set[str] = field(default_factory=set)

    def input_problem(self, value: WantedValue) -> str:
        """A kind of value that has no file, and, if exact, one that a file changes."""
        problem = problem_of(value.plan.value, value.type, self.definitions)
        if not problem and self.is_exact:
            loss = loss_of(value.plan.value, value.type)
            problem = f"{loss}, which exact=True refuses" if loss else ""
        return self._told_as(f"its value of type {value.type} cannot reach the server: {problem}") if problem else ""

    def reference_problem(self, nodes: Mapping[str, Any]) -> str:
        """Nodes of ours."""
        if any(node["class_type"] == LOADER for node in nodes.values()):
            return self._told_as("its reference loads a value with a node that the server does not have")
        return ""

    def output_problem(self, port: PromptPort, rule: str, *, is_list: bool) -> str:
        """A type that no node of every ComfyUI brings, and, if exact, pictures."""
        kind = output_kind(port.type)
        missing = [name for name in output_classes(kind) if name not in self.definitions]
        if not kind:
            problem = "only numbers, texts, IMAGE, MASK and LATENT can. With the rule 'ref' it stays in the server"
        elif missing:
            problem = f"the server has no node {', '.join(missing)}"
        elif is_list and kind not in ("text", "number"):
            problem = "it is a list of such values, not a batch"
        elif self.is_exact and kind in ("IMAGE", "MASK"):
            problem = "it would come in 8 bits, which exact=True refuses"
        else:
            return ""
        return self._told_as(f"the value of type {port.type} that it gives cannot come back: {problem}")

    def collects(self, port: PromptPort, rule: str) -> bool:
        """What has no rule stays in the server, unless its type says how it comes back."""
        return rule == BY_VALUE or bool(output_kind(port.type))

    def reference_sink(self, unique_id: str) -> Sink | None:
        """A preview as text, which any object has."""
        return plain_reference_sink(unique_id, self.definitions, has_port=self.has_port)

    def passage(self, view: RunView, transient: TransientValues, *, use_ram: bool) -> Passage:
        """Uploads, and downloads of what was made."""
        return _CorePassage(self, view, use_ram=use_ram)

    async def end(self) -> None:
        """Log how many files stay on the server."""
        if self.sent_files:
            _log.info("%d uploaded files stay in the server's temporary folder until it starts again", self.sent_files)
        if self.made_latents:
            folder = f"the folder {LATENT_FOLDER} of the server's output folder"
            _log.info("%d latents stay in %s, since files on it cannot be deleted", self.made_latents, folder)

    def tell(self, loss: str) -> None:
        """Warn of a loss, once for each call."""
        if loss and loss not in self._told:
            self._told.add(loss)
            _log.warning("%s, since the server is used without our nodes (tier 3)", loss)

    def _told_as(self, problem: str) -> str:
        return f"{problem}. The server is used without our nodes (tier 3), since {self.reason}. {_REMEDY}"


class _CorePassage:
    def __init__(self, transport: CoreNodes, view: RunView, *, use_ram: bool) -> None:
        self._transport, self._view, self._use_ram = transport, view, use_ram
        self._shipped: dict[WantedValue, Shipped] = {}
        self._collectors: dict[str, Collector] = {}

    async def send(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> None:
        """Upload the values' files. Raises PortError if a file of a reference is gone, since nobody has it."""
        transport = self._transport
        for value in values:
            problem = await to_thread(transport.input_problem, value)
            if problem:
                raise PortError(f"the variable {value.unique_id!r}: {problem}")
            loss = await to_thread(loss_of, value.plan.value, value.type)
            transport.tell(f"the value of {value.unique_id!r} is not sent as it is: {loss}" if loss else "")
            shipped = self._shipped[value] = await transport.uploads.ship(value)
            transport.sent_files += shipped.sent
        names = {name: each.unique_id for each in references for name in _uploaded(each["prompt"])}
        for name, unique_id in names.items():
            if not await transport.uploads.is_there(name):
                raise PortError(
                    f"the reference {unique_id!r} loads a value that the server does not have any more: its temporary "
                    "folder was emptied. Run the workflow that made the reference again"
                )

    def binding(self, value: WantedValue) -> Recipe:
        """The nodes that load its files."""
        shipped = self._shipped[value]
        return shipped.shipment.recipe(shipped.places)

    def sink(self, port: PromptPort, rule: str) -> Sink:
        """A node that shows or saves the value."""
        collector = self._collectors[port.unique_id] = Collector(output_kind(port.type), port)
        if collector.kind in ("IMAGE", "MASK"):
            self._transport.tell("pictures and masks come back in 8 bits")
        return collector.sink()

    def complete(self, prompt: JsonObject, port: PromptPort, *, is_list: bool) -> None:
        """Add the nodes that the sink alone does not do without."""
        self._collectors[port.unique_id].complete(prompt, is_list=is_list)

    async def collect(self, history: History) -> Arrivals:
        """Download what the nodes have shown or saved."""
        outputs: dict[str, list[Output]] = {}
        for output in self._transport.worker.outputs(history):
            outputs.setdefault(output.node_id, []).append(output)
        staged: set[str] = set()
        for unique_id, collector in self._collectors.items():
            self._check_latent(unique_id, collector.lost_keys(outputs))
            try:
                value = await collector.value(outputs, self._view.tensor_kind)
            except LookupError:
                continue
            self._transport.made_latents += collector.kind == "LATENT"
            await finish(to_thread(self._view.save, unique_id, value, use_ram=self._use_ram))
            staged.add(unique_id)
        return Arrivals(frozenset(staged))

    def _check_latent(self, unique_id: str, lost: Sequence[str]) -> None:
        if lost:
            text = f"the latent {unique_id!r} comes back without {', '.join(map(repr, lost))}"
            if self._transport.is_exact:
                raise PortError(f"{text}, which exact=True refuses")
            self._transport.tell(text)

    async def end(self, *, has_succeeded: bool) -> None:
        """Leaves nothing that could be removed: ComfyUI has no call for that."""


def _uploaded(nodes: Mapping[str, Any]) -> Iterator[str]:
    """The uploaded files that nodes load."""
    for node in nodes.values():
        for value in node["inputs"].values():
            found = _UPLOADED.fullmatch(value) if isinstance(value, str) else None
            if found is not None:
                yield found[1]
