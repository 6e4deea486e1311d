"""The result of a run in a pool: its outputs by name, with their contents, and where it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from discomfort.client.outputs import outputs_with
from discomfort.connector.run_result import RunResult
from discomfort.functions.bound_call import BoundCall
from discomfort.functions.call_filling import CallFilling
from discomfort.functions.call_result import CallResult, named_outputs
from discomfort.functions.typed_outputs import SavedItems
from discomfort.pool.run_orders import RunRecord


@dataclass(frozen=True, slots=True)
class RunTiming:
    """Where the time of a run went, in seconds: ``waited`` for a server, ``ran`` on it, ``total`` from submit to end.

    ``total`` is more than the sum if the run was on several servers.
    """

    waited: float
    ran: float
    total: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run was. ``loads`` are the models that the server loaded for it, as far as the pool knows."""

    run_id: str
    server: str
    timing: RunTiming
    loads: tuple[str, ...] = ()


class PoolResult(CallResult):
    """What a run gave, by name and by node, as that of a called workflow. Its outputs have their contents: they need
    neither the server nor the pool.
    """

    def __init__(self, name: str, run: RunResult, named: Mapping[str, SavedItems], placement: Placement) -> None:
        """Made by the pool."""
        super().__init__(name, run, named)
        self._placement = placement

    @property
    def run_id(self) -> str:
        """The run's id in the pool."""
        return self._placement.run_id

    @property
    def server(self) -> str:
        """The name of the server that ran it."""
        return self._placement.server

    @property
    def timing(self) -> RunTiming:
        """Where the time went."""
        return self._placement.timing

    @property
    def loads(self) -> tuple[str, ...]:
        """The models, as ``folder/name``, that the server loaded for it, as far as the pool knows."""
        return self._placement.loads


def pool_result(
    name: str, call: BoundCall, filling: CallFilling, record: RunRecord, placement: Placement
) -> PoolResult:
    """The result of a record."""
    run = RunResult(
        record.prompt_id, outputs_with(record.history, record.artifacts), placement.timing.total, record.history
    )
    assert filling.filled is not None  # noqa: S101 - a run that has ended was filled
    named = named_outputs(call.workflow.interface.outputs, filling.filled, run.outputs)
    return PoolResult(name, run, named, placement)
