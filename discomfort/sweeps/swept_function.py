"""The part of a workflow function that sweeps need, so that they can be tested without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from discomfort._json import JsonObject
from discomfort.progress import ProgressCallback
from discomfort.workflow.interface.parameters import Interface


class SweptOutput(Protocol):
    """One output of a call."""

    @property
    def title(self) -> str:
        """The node's title."""
        ...

    @property
    def kind(self) -> str:
        """``image``, ``video``, ``text`` …"""
        ...

    @property
    def filename(self) -> str | None:
        """The name on the server; ``None`` for a text or another value."""
        ...

    @property
    def value(self) -> Any:
        """The text or other value."""
        ...

    async def save(self, directory: Path, name: str) -> Path:
        """Save the file in a folder."""
        ...


class SweptCall(Protocol):
    """What a call gives."""

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the server."""
        ...

    @property
    def outputs(self) -> Sequence[SweptOutput]:
        """All outputs."""
        ...

    @property
    def history(self) -> Any:
        """ComfyUI's record."""
        ...

    def keys(self) -> list[str]:
        """The names of the outputs that the interface has."""
        ...

    def __getitem__(self, name: str) -> Any:
        """One of these outputs; ``outputs`` are its items."""
        ...


class SweptFunction(Protocol):
    """A workflow with named inputs."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def interface(self) -> Interface:
        """Its inputs and outputs."""
        ...

    @property
    def prompt(self) -> JsonObject:
        """The prompt whose inputs a call sets, not to be changed."""
        ...

    def with_options(self, *, on_progress: ProgressCallback | None) -> Self:
        """A copy whose calls report to ``on_progress``."""
        ...

    def problems(self, values: Mapping[str, Any], /) -> Sequence[object]:
        """What is wrong with these values, as far as that is known without a server."""
        ...

    def __call__(self, values: Mapping[str, Any], /) -> Awaitable[SweptCall]:
        """Run it."""
        ...
