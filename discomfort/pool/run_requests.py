"""A run as the scheduler knows it: its tenant, its models, and the servers that it may go to."""

from __future__ import annotations

from dataclasses import dataclass, field

from discomfort.pool.server_classes import Requirement

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True, order=True)
class ModelFile:
    """A model: its folder below ``models`` and its name there, as ``checkpoints`` and ``flux/dev.safetensors``."""

    folder: str
    name: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A run that waits for a server.

    ``models`` are all models that its prompt names. ``skeleton`` is the same for prompts that differ in values only:
    ComfyUI keeps what the nodes of the last prompt gave. ``at`` is when it was submitted, in seconds of the caller's
    clock; it stays the same when the run waits again. Of a tenant's runs those with the higher ``priority`` go first.
    A run never goes to the servers in ``avoided``. ``seconds`` is how long it takes on a warm server, if known.
    """

    id: str
    at: float
    tenant: str = DEFAULT_TENANT
    models: frozenset[ModelFile] = frozenset()
    skeleton: str = ""
    priority: int = 0
    requirement: Requirement = field(default_factory=Requirement)
    avoided: frozenset[str] = frozenset()
    seconds: float | None = None
