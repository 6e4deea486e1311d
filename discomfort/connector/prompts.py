"""Turns a payload into the prompt to submit: reads it and converts workflows, again if the server dies meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from discomfort._json import JsonObject
from discomfort.connector.calls import Calls
from discomfort.connector.payloads import Payload, load_payload
from discomfort.connector.recovery import Recovery
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.set_values import with_sets
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import (
    BrowserError,
    ConversionError,
    MissingNodesError,
    PayloadError,
    ServerConnectionError,
    ServerDiedError,
    StateError,
)
from discomfort.workflow.edited_workflow import EditedWorkflow
from discomfort.workflow.workflow_ports import PORT

_log = logging.getLogger("discomfort.connector")

T = TypeVar("T")

_EMULATOR_REMEDY = (
    "This is the embedded emulator, which has only the core nodes that need no model. "
    "Install ComfyUI and set COMFYUI_PATH to run them."
)


class Prompts:
    """Makes prompts with the converter of one connector; ``ready`` waits for a server, or raises."""

    def __init__(
        self,
        parts: Resources,
        recovery: Recovery,
        loss: ServerLoss,
        calls: Calls,
        *,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._parts, self._recovery, self._loss, self._calls, self._ready = parts, recovery, loss, calls, ready

    async def prepare(
        self,
        payload: Payload,
        expect_workflow: bool | None,
        extra_data: Mapping[str, Any] | None,
        *,
        survives: bool = True,
    ) -> tuple[JsonObject, Mapping[str, Any] | None]:
        """The prompt of ``payload``, and the extra data to send with it, which includes the workflow if it was one."""
        kind, loaded = await load_payload(payload)
        if expect_workflow is not None and (kind == "workflow") is not expect_workflow:
            _log.info("use_workflow_json=%s, but the payload is a %s; it is run as one", expect_workflow, kind)
        if kind == "prompt":
            return loaded, extra_data
        prompt = await self._convert(loaded, survives=survives)
        extra = dict(extra_data or {})
        extra["extra_pnginfo"] = {"workflow": dict(loaded), **(extra.get("extra_pnginfo") or {})}
        return prompt, extra

    async def from_workflow(self, payload: Payload) -> JsonObject:
        """The prompt of a workflow; a prompt is returned as it is."""
        kind, loaded = await load_payload(payload)
        if kind == "prompt":
            _log.info("the payload is already a prompt; it is returned unchanged")
            return loaded
        return await self._convert(loaded)

    async def explain(self, payload: Payload) -> Explanation:
        """A workflow's conversion, node by node. Raises PayloadError for a prompt."""
        kind, loaded = await load_payload(payload)
        if kind == "prompt":
            raise PayloadError("explain() describes a workflow's conversion; this payload is already a prompt")
        return await self.with_server(lambda: self._parts.get_converter().explain(loaded))

    async def with_server(self, work: Callable[[], Awaitable[T]], *, survives: bool = True) -> T:
        """Do ``work`` that needs the server; the server's death ends it at once.

        If runs are resubmitted after the server's death, and ``survives``, it is done again on the next server.
        """
        while True:
            count = self._recovery.count
            try:
                try:
                    async with self._calls.server_needed():
                        return await work()
                except (ServerConnectionError, BrowserError, ConversionError, StateError) as error:
                    await self._loss.raise_if_dead(error, count)
                    raise
            except ServerDiedError:
                if not (survives and self._parts.owned and self._recovery.resubmits):
                    raise
                await self._ready()
            except MissingNodesError as error:
                self.raise_if_emulated(error)
                raise

    def raise_if_emulated(self, error: MissingNodesError) -> None:
        """Raise ``error`` with the remedy that fits the emulator, where installing packs does not help."""
        is_emulated = self._parts.engine is not None and self._parts.engine.kind == "emulator"
        # A port has a remedy of its own.
        if is_emulated and not any(each.class_type == PORT for each in error.missing):
            raise MissingNodesError(error.missing, remedy=_EMULATOR_REMEDY) from None

    async def _convert(self, workflow: JsonObject, *, survives: bool = True) -> JsonObject:
        """The prompt of a workflow; if an editor has set values in it, with all of them, or InputSelectorError."""

        async def convert(graph: JsonObject) -> JsonObject:
            return await self.with_server(lambda: self._parts.get_converter().convert(graph), survives=survives)

        if not isinstance(workflow, EditedWorkflow) or not workflow.sets:
            return await convert(workflow)
        return await with_sets(workflow, convert, lambda: self._definitions(survives=survives))

    async def _definitions(self, *, survives: bool) -> Mapping[str, Any]:
        client = self._parts.client
        if client is None:
            raise StateError("the connector has no connection to a server")
        return await self.with_server(client.shared_definitions, survives=survives)
