"""Transport of values between this program and a server: the interface, which each tier implements in its own way.

A :class:`Transport` belongs to one call of ``run`` and says what can pass. Its :class:`Passage` brings the values of
one workflow run to the server and back. Who makes prompts asks these two, and never which tier it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from discomfort._json import JsonObject
from discomfort.context.records import Record
from discomfort.context.run_view import RunView
from discomfort.history import History
from discomfort.orchestration.binding import LoadedValue
from discomfort.orchestration.transient_values import TransientValues
from discomfort.workflow.compilation import Recipe, Sink, ValueNode
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True, eq=False)
class WantedValue:
    """A value that a prompt loads: of the variable ``unique_id``, at inputs of the type ``type``.

    ``record`` is that of the variable in the snapshot; ``None`` before a run. It has the very value unless
    ``plan.is_changed``.
    """

    unique_id: str
    type: str
    plan: LoadedValue
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The variables whose values came back. Those of ``staged`` are staged in the view; ``objects`` stay in the server.

    Only the reference stands for the latter.
    """

    staged: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()


class Passage(Protocol):
    """The values of one run of one workflow, to the server and back. Used in the order of its methods."""

    async def send(self, values: Sequence[WantedValue], references: Sequence[Reference]) -> None:
        """Bring values to where the server finds them, and those that the nodes of ``references`` load.

        Safe to cancel; :meth:`end` follows. Raises ServerError, OSError, PortError.
        """
        ...

    def binding(self, value: WantedValue) -> ValueNode | Recipe:
        """What gives a sent value in a prompt. Blocking; raises DiskFullError, OSError."""
        ...

    def sink(self, port: PromptPort, rule: str) -> Sink:
        """The node that takes the value of an OUTPUT port which the transport collects. Blocking."""
        ...

    def complete(self, prompt: JsonObject, port: PromptPort, *, is_list: bool) -> None:
        """Change the sink of a port in the compiled prompt, or add nodes to it. ``is_list``: its source is a list."""
        ...

    async def collect(self, history: History) -> Arrivals:
        """Stage in the view what the run has made. Raises DamagedDataError, ServerError, OSError."""
        ...

    async def end(self, *, has_succeeded: bool) -> None:
        """Remove what nobody will read. Always called, also after failures and cancellations, and not cancelled itself.

        Ends within some seconds whatever the server does. Never raises.
        """
        ...


class Transport(Protocol):
    """What passes between this program and one server, in one call of ``run``."""

    @property
    def tier(self) -> int:
        """1: files that both see; 2: routes of our nodes; 3: nodes that every ComfyUI has."""
        ...

    @property
    def reason(self) -> str:
        """Why this transport was chosen; for people."""
        ...

    @property
    def losses(self) -> Sequence[str]:
        """What does not pass, or not as it is; for people."""
        ...

    def input_problem(self, value: WantedValue) -> str:
        """Why a value cannot reach the server, and the remedy; empty if it can. Blocking."""
        ...

    def reference_problem(self, nodes: Mapping[str, Any]) -> str:
        """Why values that the nodes of a reference load cannot reach the server; empty if they can. Blocking."""
        ...

    def output_problem(self, port: PromptPort, rule: str, *, is_list: bool) -> str:
        """Why the value of an OUTPUT port cannot come back; empty if it can. ``is_list``: its source is a list."""
        ...

    def collects(self, port: PromptPort, rule: str) -> bool:
        """Whether the value at an OUTPUT port comes back; otherwise it is a reference. ``rule`` is not ``ref``."""
        ...

    def reference_sink(self, unique_id: str) -> Sink | None:
        """A node that has the server make an object that stays there; ``None`` if it has none."""
        ...

    def passage(self, view: RunView, transient: TransientValues, *, use_ram: bool) -> Passage:
        """The passage of one workflow run on a snapshot."""
        ...

    async def end(self) -> None:
        """Called once at the end of the call of ``run``, whatever happened. Never raises."""
        ...


def plain_reference_sink(unique_id: str, definitions: Mapping[str, Any], *, has_port: bool) -> Sink | None:
    """What every tier can answer as :meth:`Transport.reference_sink`."""
    if has_port:
        return Sink(PORT, {"unique_id": unique_id})
    return Sink("PreviewAny", name="source") if "PreviewAny" in definitions else None
