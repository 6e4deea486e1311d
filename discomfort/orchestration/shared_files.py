"""Tier 1 of transport: files that this program and the server both see. What is stored is what the server reads."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import in_pool, to_thread
from discomfort.context.codecs import decode
from discomfort.context.exchange import HANDSHAKE, LOADER, PREFIX, SAVER
from discomfort.context.records import Record
from discomfort.context.run_view import RunView
from discomfort.context.trees import NodeList
from discomfort.history import History
from discomfort.orchestration.saved_values import SavedValue, saved_values
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Arrivals, Passage, WantedValue, plain_reference_sink
from discomfort.workflow.compilation import Sink, ValueNode
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The transport of a server that sees the folder of contexts on disk; ``sees_memory``: that in memory, too."""

    definitions: Mapping[str, Any]
    sees_memory: bool
    tier: int = 1
    reason: str = "the server sees the files of this program"
    losses: Sequence[str] = ()

    def input_problem(self, value: WantedValue) -> str:
        """Every value passes."""
        return ""

    def reference_problem(self, nodes: Mapping[str, Any]) -> str:
        """Every value passes."""
        return ""

    def output_problem(self, port: PromptPort, rule: str, *, is_list: bool) -> str:
        """Whether a value passes is found out in the server."""
        return ""

    def collects(self, port: PromptPort, rule: str) -> bool:
        """The server says what could not be saved."""
        return True

    def reference_sink(self, unique_id: str) -> Sink | None:
        """A port: its object is handed on."""
        return plain_reference_sink(unique_id, self.definitions, has_port=PORT in self.definitions)

    def passage(self, view: RunView, transient: TransientValues, *, use_ram: bool) -> Passage:
        """Files of a context."""
        return _FilePassage(view, transient, use_ram=use_ram, sees_memory=self.sees_memory)

    async def end(self) -> None:
        """Leaves nothing."""


class _FilePassage:
    def __init__(self, view: RunView, transient: TransientValues, *, use_ram: bool, sees_memory: bool) -> None:
        self._view, self._transient = view, transient
        self._use_ram, self._sees_memory = use_ram, sees_memory
        self._nonce = secrets.token_hex(16)
        self._has_savers = False

    async def send(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> None:
        """The files are there already, or written by :meth:`binding`."""

    def binding(self, value: WantedValue) -> ValueNode:
        """A loader on the file of the value, which is written if the context has none that the server sees."""
        record, plan = value.record, value.plan
        if plan.is_changed or record is None or (record.storage == "ram" and record.file and not self._sees_memory):
            record = self._transient.written(record, plan, use_ram=self._use_ram and self._sees_memory)
        inputs = loader_inputs(value, record)
        if record.text is not None:
            return ValueNode(LOADER, inputs)
        name = (record.file or "").rpartition("/")[2].rpartition(":")[2]
        place = {**self._place(), "storage": record.storage, "blob": name}
        return ValueNode(LOADER, {**inputs, "digest": self._view.storage.digest(record)}, meta={HANDSHAKE: place})

    def sink(self, port: PromptPort, rule: str) -> Sink:
        """A saver."""
        self._has_savers = True
        storage = self._view.storage
        is_in_memory = self._use_ram and self._sees_memory and storage.memory_folder is not None
        room = max(0, storage.room.limit - storage.usage()[0]) if is_in_memory else 0
        options = {"nonce": self._nonce, "use_ram": is_in_memory, "room": room, "mode": rule}
        return Sink(SAVER, {"unique_id": port.unique_id, **self._place(), **options})

    def complete(self, prompt: JsonObject, port: PromptPort, *, is_list: bool) -> None:
        """Let a saver know that its source is a list even if that has one item."""
        if is_list:
            prompt[port.node_id]["inputs"]["is_list"] = True

    async def collect(self, history: History) -> Arrivals:
        """Take over the files that the savers have written."""
        saved = saved_values(history, self._nonce)
        is_quick = self._use_ram and all(value.codec is None or value.text is not None for value in saved.values())
        return await in_pool(lambda: self._collected(saved), is_quick=is_quick)

    def _collected(self, saved: Mapping[str, SavedValue]) -> Arrivals:
        staged = {unique_id: value for unique_id, value in saved.items() if value.codec is not None}
        for value in staged.values():
            self._stage(value)
        return Arrivals(frozenset(staged), frozenset(saved.keys() - staged.keys()))

    def _stage(self, value: SavedValue) -> None:
        if value.text is not None:
            found = decode(value.codec or "", value.text.encode("utf-8"))
            self._view.save(value.unique_id, found, use_ram=self._use_ram)
            return
        self._view.adopt(value.unique_id, value.storage, value.blob, value.codec or "", value.size, value.digest)

    async def end(self, *, has_succeeded: bool) -> None:
        """Remove what the server has saved for a run that failed."""
        if self._has_savers and not has_succeeded:
            await to_thread(self._view.storage.sweep, self._nonce[:PREFIX])

    def _place(self) -> dict[str, str]:
        storage = self._view.storage
        memory = "" if storage.memory_folder is None else storage.memory_folder.name
        return {"run_id": storage.run_id, "contexts": storage.home.parent.name, "memory": memory}


def loader_inputs(value: WantedValue, record: Record) -> JsonObject:
    """The inputs of a loader that say what the value is; a small value is among them."""
    inputs: JsonObject = {"run_id": "", "unique_id": value.unique_id, "codec": record.codec}
    if isinstance(value.plan.value, NodeList):
        inputs["is_list"] = True
    return inputs if record.text is None else {**inputs, "text": record.text}
