"""Retries of a run whose server died, fell silent or ran out of memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from discomfort.exceptions import DiscomfortError, FatalPromptError, RunLostError, ServerDiedError

_DEATHS_OF_ONE_RUN = 2
"""Servers that may die while a run is executed. A third might be the one that the other runs need."""

_DEATHS_BEFORE_START = 4
"""Servers that may die while they have a run that they did not begin: some prompt may kill a server by its arrival."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a run may begin again after it had begun on a server that was lost.

    A run whose server died before it began waits again in any case: nothing of it was done. Begin a run twice only if
    that does no harm, as with most pictures; nodes that upload, mail or pay do their work twice. An attached server
    that fell silent cannot be ended from here and may go on with the run while another one begins it.

    A run that was executed by two servers when they died is not begun again, whatever ``times`` says: it may be the
    reason. Servers that were drained do not count as dead.
    """

    times: int = 0

    never: ClassVar[Retry]

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 0:
            raise ValueError(f"times must be a whole number from 0 on, not {self.times!r}")


Retry.never = Retry()


@dataclass(slots=True)
class RunTrail:
    """Where one run has been: ``starts`` counts how often it began, ``servers`` are those that it shall not see again.

    ``begun`` are the deaths of servers that executed it, ``waiting`` of those that had not begun it.
    """

    starts: int = 0
    servers: set[str] = field(default_factory=set)
    begun: list[DiscomfortError] = field(default_factory=list)
    waiting: list[DiscomfortError] = field(default_factory=list)
    freed: bool = False
    """Whether it has run out of memory, and another attempt was made for that."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a server that had a run. ``started`` is ``None`` if nobody can know whether the run had begun."""

    server: str
    started: bool | None
    last_event: str
    error: DiscomfortError
    prompt_id: str | None = None
    is_drained: bool = False
    """Whether the run was taken from a server that is well, since that one was drained."""


def verdict(trail: RunTrail, loss: Loss, retry: Retry) -> DiscomfortError | None:
    """What a run ends with after a loss; ``None`` if it waits for another server. ``trail`` takes note of the loss."""
    if loss.started is False:
        if loss.is_drained:
            return None
        trail.waiting.append(loss.error)
        if len(trail.waiting) < _DEATHS_BEFORE_START:
            return None
        return _fatal(trail.waiting, loss, "were lost when they had got the run")
    trail.servers.add(loss.server)
    if not loss.is_drained:
        trail.begun.append(loss.error)
    if len(trail.begun) >= _DEATHS_OF_ONE_RUN:
        return _fatal(trail.begun, loss, "were lost while they executed the run")
    if trail.starts <= retry.times and retry.times > 0:
        return None
    had_begun = "had begun" if loss.started else "may have begun"
    if loss.is_drained:
        problem = f"the server {loss.server} was drained after the run {had_begun}: {_reason(loss.error)}"
    else:
        problem = f"the server {loss.server} was lost after the run {had_begun}: {_reason(loss.error)}"
    return RunLostError(
        problem, started=loss.started is True, server=loss.server, last_event=loss.last_event, death=loss.error,
        prompt_id=loss.prompt_id,
    )  # fmt: skip


def _fatal(deaths: list[DiscomfortError], loss: Loss, what: str) -> FatalPromptError:
    return FatalPromptError(f"{len(deaths)} servers {what}; no other one gets it:", deaths, prompt_id=loss.prompt_id)


def _reason(error: DiscomfortError) -> str:
    return error.problem if isinstance(error, ServerDiedError) else str(error)
