"""A workflow function without a server: it makes small pictures and texts, and writes down what it made."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from discomfort.progress import ProgressCallback, Started
from discomfort.sweeps import Sweep
from discomfort.workflow.interface.declarations import InputTarget, Parameter
from discomfort.workflow.interface.parameters import Interface

PROMPT: dict[str, Any] = {
    "1": {"class_type": "Sampler", "inputs": {"seed": 0, "cfg": 7, "text": "a cat", "image": ["2", 0]}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "example.png"}, "_meta": {"title": "Photo"}},
}


def parameter(name: str, kind: str, target: str, **more: Any) -> Parameter:
    """One parameter of the workflow above."""
    node, _, given = target.partition(".")
    default = PROMPT[node]["inputs"][given]
    return Parameter(name=name, type=kind, source="app", targets=(InputTarget(node, given),), default=default, **more)


INTERFACE = Interface(
    inputs={
        "seed": parameter("seed", "INT", "1.seed"),
        "cfg": parameter("cfg", "FLOAT", "1.cfg"),
        "text": parameter("text", "STRING", "1.text"),
        "photo": parameter("photo", "IMAGE", "2.image", upload="image"),
    }
)


@dataclass
class FakeOutput:
    """An output whose content is in memory."""

    title: str
    kind: str
    filename: str | None
    value: Any

    async def save(self, directory: Path, name: str) -> Path:
        """Write the content."""
        await asyncio.to_thread((directory / name).write_bytes, self.value)
        return directory / name


@dataclass
class FakeResult:
    """What a call gave."""

    prompt_id: str
    outputs: list[FakeOutput]
    history: Mapping[str, Any] = field(default_factory=dict)
    named: dict[str, list[int]] = field(default_factory=dict)

    def keys(self) -> list[str]:
        """The names of the outputs."""
        return list(self.named)

    def __getitem__(self, name: str) -> Any:
        """One of them."""
        return SimpleNamespace(outputs=[self.outputs[index] for index in self.named[name]])


def picture(seed: int) -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (seed * 37 % 256, 80, 120)).save(stream, "PNG")
    return stream.getvalue()


@dataclass
class FakeFunction:
    """The function. ``before`` is awaited in each call, and may raise; ``calls`` has the values of all."""

    before: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None
    prompt: dict[str, Any] = field(default_factory=lambda: PROMPT)
    interface: Interface = INTERFACE
    name: str = "fake"
    calls: list[dict[str, Any]] = field(default_factory=list)
    on_progress: ProgressCallback | None = None
    timeout: float | None = None
    allow_paid: bool | None = None
    pictures: int = 1
    named: dict[str, list[int]] = field(default_factory=dict)

    def with_options(
        self,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        allow_paid: bool | None = None,
    ) -> FakeFunction:
        """A copy with another callback, another time limit, or the leave to spend."""
        return replace(
            self,
            on_progress=on_progress or self.on_progress,
            timeout=timeout or self.timeout,
            allow_paid=allow_paid or self.allow_paid,
        )

    def grid(self, values: Mapping[str, Any]) -> Sweep:
        """As the real one."""
        return Sweep.of_grid(self, values)

    def table(self, rows: Any, values: Mapping[str, Any]) -> Sweep:
        """As the real one."""
        return Sweep.of_table(self, rows, values)

    def problems(self, values: Mapping[str, Any], /) -> list[str]:
        """Seeds below 0."""
        return ["seed: takes 0 or more"] if values.get("seed", 0) < 0 else []

    async def __call__(self, values: Mapping[str, Any], /) -> FakeResult:
        """Make a picture and a text."""
        self.calls.append(dict(values))
        number = len(self.calls)
        if self.on_progress is not None and (answer := self.on_progress(Started(f"id-{number}"))) is not None:
            await answer
        if self.before is not None:
            await self.before(values)
        outputs = [FakeOutput("Image", "image", f"x_{n}.png", picture(number)) for n in range(self.pictures)]
        return FakeResult(
            f"id-{number}", [*outputs, FakeOutput("Caption", "text", None, f"made {number}")], named=self.named
        )
