"""Tier 2 of transport: values go over HTTP to a server that has our nodes, and come back as they are.

A value has the digest of its bytes as its name on the server, so it is sent once, whatever its variable is called. It
stays there until nobody used it for a day, or others need the room: nothing is removed at the end of a run, since the
next one is likely to need the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, first_failure, to_thread
from discomfort.context.arriving_file import ArrivingFile
from discomfort.context.blobs import read_blob
from discomfort.context.codecs import decode
from discomfort.context.exchange import HANDSHAKE, LOADER, SAVER, RemoteLimits
from discomfort.context.records import Record
from discomfort.context.run_view import RunView
from discomfort.exceptions import DamagedDataError, PortError
from discomfort.history import History
from discomfort.orchestration.reference_values import loaded_files
from discomfort.orchestration.saved_values import SavedValue, saved_values
from discomfort.orchestration.shared_files import file_place, loader_inputs
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Arrivals, Passage, WantedValue, plain_reference_sink
from discomfort.orchestration.worker import Worker
from discomfort.workflow.compilation import Sink, ValueNode
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference
from discomfort.workflow.workflow_ports import PORT

_AT_ONCE = 4
"""Values that are sent at the same time."""
_MOST_DIGESTS = 10_000


class ContentDigests:
    """The SHA-256 of files that never change, computed once for each. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """The digest of a file. Blocking, about 1 ms per MB; raises OSError."""
        found = self._known.get(path)
        if found is None:
            found = hashlib.sha256(read_blob(path)).hexdigest()
            self.note(path, found)
        return found

    def note(self, path: Path, digest: str) -> None:
        """Keep a digest that was computed elsewhere."""
        if len(self._known) >= _MOST_DIGESTS:
            self._known.clear()
        self._known[path] = digest


@dataclass(frozen=True, slots=True)
class RemoteValues:
    """The transport of a server with routes that take ``limits``."""

    definitions: Mapping[str, Any]
    worker: Worker = field(repr=False)
    limits: RemoteLimits
    digests: ContentDigests = field(repr=False)
    tier: int = 2
    losses: Sequence[str] = ()
    reason: str = "its nodes have routes for values"

    def input_problem(self, value: WantedValue) -> str:
        """Whether it is too large is found out when it has its file."""
        return ""

    def reference_problem(self, nodes: Mapping[str, Any]) -> str:
        """The digests of tier 1 are others, so its references cannot load values here."""
        for each in loaded_files(nodes):
            if each.path is not None and each.path.exists() and self.digests.of(each.path) != each.digest:
                return (
                    f"its reference was made for a server that shares files, and loads the value {each.unique_id!r} by "
                    "a digest that this one does not know (tier 2): make the reference again, on this server"
                )
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
        """Over HTTP."""
        return _RemotePassage(self, view, transient, use_ram=use_ram)

    async def end(self) -> None:
        """What the server has stays until it expires."""


class _RemotePassage:
    def __init__(self, transport: RemoteValues, view: RunView, transient: TransientValues, *, use_ram: bool) -> None:
        self._transport, self._view, self._transient, self._use_ram = transport, view, transient, use_ram
        self._nonce = secrets.token_hex(16)
        self._records: dict[WantedValue, Record] = {}

    async def send(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> None:
        """Send the files of all values that the server does not have."""
        wanted = await finish(to_thread(self._files, values, references))
        turns = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for digest, path in wanted.items():
                    group.create_task(self._sent(turns, digest, path))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    def _files(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> dict[str, Path]:
        """The file of each value by its digest. Blocking; raises PortError, DiskFullError, OSError."""
        found: dict[str, Path] = {}
        for value in values:
            record = value.record
            if value.plan.is_changed or record is None:
                record = self._transient.written(record, value.plan, use_ram=self._use_ram)
            self._records[value] = record
            if record.file is not None:
                self._check_size(value.unique_id, record.size)
                path = self._view.storage.path_of(record.file)
                found[self._transport.digests.of(path)] = path
        for reference in references:
            for each in loaded_files(reference["prompt"]):
                if each.path is not None and each.path.exists():
                    found.setdefault(each.digest, each.path)
        return found

    def _check_size(self, unique_id: str, size: int) -> None:
        largest = self._transport.limits.largest
        if size > largest:
            raise PortError(
                f"the variable {unique_id!r} has {size / 1e6:.1f} MB, and the server takes {largest / 1e6:.1f}: set "
                "DISCOMFORT_LARGEST_VALUE_GB in its environment"
            )

    async def _sent(self, turns: asyncio.Semaphore, digest: str, path: Path) -> None:
        piece = self._transport.limits.piece
        async with turns:
            await self._transport.worker._with_values(lambda transfer: transfer.send(digest, path, piece))

    def binding(self, value: WantedValue) -> ValueNode:
        """A loader of what was sent. The place of the file here is for those who use a reference to this node later."""
        record = self._records[value]
        inputs = loader_inputs(value, record)
        if record.file is None:
            return ValueNode(LOADER, inputs)
        digest = self._transport.digests.of(self._view.storage.path_of(record.file))
        return ValueNode(LOADER, {**inputs, "digest": digest}, meta={HANDSHAKE: file_place(self._view.storage, record)})

    def sink(self, port: PromptPort, rule: str) -> Sink:
        """A saver."""
        return Sink(SAVER, {"unique_id": port.unique_id, "nonce": self._nonce, "mode": rule, "is_remote": True})

    def complete(self, prompt: JsonObject, port: PromptPort, *, is_list: bool) -> None:
        """Let a saver know that its source is a list even if that has one item."""
        if is_list:
            prompt[port.node_id]["inputs"]["is_list"] = True

    async def collect(self, history: History) -> Arrivals:
        """Fetch what the savers have stored. Values of the same content are fetched once for each variable."""
        saved = saved_values(history, self._nonce)
        staged = {unique_id: value for unique_id, value in saved.items() if value.codec is not None}
        for value in staged.values():
            if value.text is not None:
                await finish(to_thread(self._stage_text, value, value.text))
            else:
                await self._fetch(value)
        return Arrivals(frozenset(staged), frozenset(saved.keys() - staged.keys()))

    def _stage_text(self, value: SavedValue, text: str) -> None:
        found = decode(value.codec or "", text.encode("utf-8"))
        self._view.save(value.unique_id, found, use_ram=self._use_ram)

    async def _fetch(self, value: SavedValue) -> None:
        if value.storage != "remote":
            raise DamagedDataError(f"the server saved {value.unique_id!r} among its own files, which cannot be fetched")
        arriving: list[ArrivingFile] = []
        try:
            # Kept here, so that a cancellation does not lose it.
            await finish(to_thread(lambda: arriving.append(self._arriving(value))))
            await self._transport.worker._with_values(
                lambda transfer: transfer.fetch(value.blob, value.size, arriving[0].write)
            )
            await finish(to_thread(self._adopt, value, arriving[0]))
        except BaseException:
            for each in arriving:
                await finish(to_thread(each.discard))
            raise

    def _arriving(self, value: SavedValue) -> ArrivingFile:
        return ArrivingFile(self._view.storage, value.size, use_ram=self._use_ram)

    def _adopt(self, value: SavedValue, arriving: ArrivingFile) -> None:
        name, digest = arriving.complete(), value.blob
        record = self._view.adopt(value.unique_id, arriving.place, name, value.codec or "", value.size, digest)
        self._transport.digests.note(self._view.storage.path_of(record.file or ""), digest)

    async def end(self, *, has_succeeded: bool) -> None:
        """What the server has stays until it expires."""
