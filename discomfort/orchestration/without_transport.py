"""Servers to which no values pass: constants and references still do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discomfort._json import JsonObject
from discomfort.context.run_view import RunView
from discomfort.exceptions import PortError
from discomfort.history import History
from discomfort.orchestration.reference_values import blobs_of
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Arrivals, Passage, WantedValue, plain_reference_sink
from discomfort.workflow.compilation import Sink, ValueNode
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference

_NO_FILES = "goes through files that the server shares (tier 1), and this server shares none: {}"


@dataclass(frozen=True, slots=True)
class WithoutTransport:
    """The transport of a server with an ``obstacle``; ``has_port``: it has our nodes all the same."""

    definitions: Mapping[str, Any]
    obstacle: str
    has_port: bool = False
    tier: int = 0
    losses: Sequence[str] = ("every value that is no constant",)

    def input_problem(self, value: WantedValue) -> str:
        """No value passes."""
        return "its value " + _NO_FILES.format(self.obstacle)

    def reference_problem(self, nodes: Mapping[str, Any]) -> str:
        """No value passes."""
        told = "a value that its reference loads " + _NO_FILES.format(self.obstacle)
        return told if blobs_of(nodes) else ""

    def output_problem(self, port: PromptPort, rule: str, *, is_list: bool) -> str:
        """No value passes."""
        return "the value that it gives " + _NO_FILES.format(self.obstacle)

    def collects(self, port: PromptPort, rule: str) -> bool:
        """Never reached, since all are problems."""
        return True

    def reference_sink(self, unique_id: str) -> Sink | None:
        """As in every tier."""
        return plain_reference_sink(unique_id, self.definitions, has_port=self.has_port)

    def passage(self, view: RunView, transient: TransientValues, *, use_ram: bool) -> Passage:
        """One through which nothing passes."""
        return _NoPassage(self)

    async def end(self) -> None:
        """Leaves nothing."""


class _NoPassage:
    def __init__(self, transport: WithoutTransport) -> None:
        self._transport = transport

    async def send(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> None:
        """Raises PortError if there is anything to send."""
        if values:
            raise PortError(f"the variable {values[0].unique_id!r}: {self._transport.input_problem(values[0])}")

    def binding(self, value: WantedValue) -> ValueNode:
        """Not reached."""
        raise PortError(self._transport.input_problem(value))

    def sink(self, port: PromptPort, rule: str) -> Sink:
        """Not reached, since the check before the run found the port."""
        problem = self._transport.output_problem(port, rule, is_list=False)
        raise PortError("a value cannot come back", [port.problem(problem)])

    def complete(self, prompt: JsonObject, port: PromptPort, *, is_list: bool) -> None:
        """Not reached."""

    async def collect(self, history: History) -> Arrivals:
        """Nothing."""
        return Arrivals()

    async def end(self, *, has_succeeded: bool) -> None:
        """Leaves nothing."""
