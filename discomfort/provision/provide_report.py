"""The report of a provision: each model and pack, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from discomfort._json import JsonObject
from discomfort.exceptions import DiscomfortError
from discomfort.planning.workflow_plan import WorkflowPlan, size_text
from discomfort.provision.proposal import ObstacleKind, Proposal

Outcome = Literal["fetched", "installed", "present", "planned", "impossible", "failed"]


@dataclass(frozen=True, slots=True)
class ProvidedItem:
    """One model or pack, and what became of it; or a file, a value, or a problem of the plan, always ``impossible``.

    ``present``: it was there already, perhaps since another process fetched it meanwhile. ``planned``: a dry run would
    fetch or install it. ``impossible``: nothing was tried, and ``reason`` says why. ``failed``: ``error`` says why.
    ``size`` is in bytes.
    """

    kind: ObstacleKind
    name: str
    outcome: Outcome
    path: Path | None = None
    size: int | None = None
    reason: str = ""
    error: DiscomfortError | None = None

    def __str__(self) -> str:
        size = f", {size_text(self.size)}" if self.size is not None and self.outcome == "fetched" else ""
        where = f" ({self.path}{size})" if self.path is not None else ""
        return f"{self.outcome}: {self.name}{where}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class ProvideReport:
    """What :meth:`ComfyConnector.provide` did. As text it has a line for each model and pack.

    ``is_restarted`` says that the server was started again for new packs; ``restart_reason`` why it still has to be.
    ``plan`` is the new plan of the workflow, made after something changed; ``None`` if nothing did.
    """

    proposal: Proposal
    items: tuple[ProvidedItem, ...] = ()
    is_dry_run: bool = False
    is_restarted: bool = False
    restart_reason: str = ""
    plan: WorkflowPlan | None = None

    @property
    def fetched(self) -> tuple[ProvidedItem, ...]:
        """The models and packs that are new."""
        return self.of("fetched", "installed")

    @property
    def missing(self) -> tuple[ProvidedItem, ...]:
        """What is still not there."""
        return self.of("impossible", "failed", "planned")

    @property
    def is_complete(self) -> bool:
        """Whether everything that the plan needs is there, and loaded."""
        return not self.missing and not self.restart_reason

    def of(self, *outcomes: Outcome) -> tuple[ProvidedItem, ...]:
        """The items with one of these outcomes."""
        return tuple(item for item in self.items if item.outcome in outcomes)

    def to_json(self) -> JsonObject:
        """The report as values for JSON."""
        return {
            "complete": self.is_complete,
            "dry_run": self.is_dry_run,
            "restarted": self.is_restarted,
            "restart_reason": self.restart_reason or None,
            "items": [
                {
                    "kind": item.kind, "name": item.name, "outcome": item.outcome, "size": item.size,
                    "path": None if item.path is None else str(item.path), "reason": item.reason or None,
                    "error": None if item.error is None else str(item.error),
                }
                for item in self.items
            ],
            "proposal": self.proposal.to_json(),
            "plan": None if self.plan is None else self.plan.to_json(),
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [str(item) for item in self.items]
        lines += ["the server was started again"] if self.is_restarted else []
        lines += [f"the server has to be started again: {self.restart_reason}"] if self.restart_reason else []
        return "\n".join(lines or ["nothing was missing"])


def failed_item(item: ProvidedItem, error: DiscomfortError) -> ProvidedItem:
    """The item with what went wrong."""
    return ProvidedItem(item.kind, item.name, "failed", item.path, item.size, str(error), error)


def failures_of(items: Sequence[ProvidedItem]) -> tuple[DiscomfortError, ...]:
    """The errors of the items that failed."""
    return tuple(item.error for item in items if item.error is not None)
