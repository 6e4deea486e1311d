"""Declarations: one named input, one named output, and what a source declared that could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

Source = Literal["sidecar", "port", "app", "node", "output"]
"""What declared a name: the sidecar, a ``DiscomfortPort``, ComfyUI's App Mode, a declaring node of another pack, or an
output node by its title."""

UploadKind = Literal["image", "mask", "audio", "video", "file"]


class NoDefault(Enum):
    """The default of a parameter that the caller must give."""

    NO_DEFAULT = "no default"


NO_DEFAULT: Final = NoDefault.NO_DEFAULT


@dataclass(frozen=True, slots=True)
class InputTarget:
    """One input of one node of the prompt; ``node_id`` is ``10:3`` for node 3 in the subgraph instance 10."""

    node_id: str
    input_name: str

    def __str__(self) -> str:
        return f"{self.node_id}.{self.input_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One named input.

    ``type`` is ComfyUI's: ``INT``, ``FLOAT``, ``STRING``, ``BOOLEAN``, ``COMBO``, or what flows through links:
    ``IMAGE``, ``MASK``, ``AUDIO``, ``VIDEO``, ``LATENT``, …. An input that names an uploaded file (``LoadImage.image``)
    has the type of that file's content, and ``upload`` says how it is given. ``targets`` are the inputs that get the
    value; a ``DiscomfortPort`` has none, but its id as ``port``. ``default`` is what the workflow has.
    """

    name: str
    type: str
    source: Source
    targets: tuple[InputTarget, ...] = ()
    port: str | None = None
    default: Any = NO_DEFAULT
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] | None = None
    upload: UploadKind | None = None
    label: str = ""
    description: str = ""
    is_hidden: bool = False
    is_multiline: bool = False

    @property
    def is_required(self) -> bool:
        """Whether the caller must give it."""
        return self.default is NO_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceOutput:
    """One named output: what the node ``node_id`` of the prompt returns, or the ``DiscomfortPort`` ``port`` takes.

    ``type`` is ComfyUI's type, or ``""`` where only a run shows it.
    """

    name: str
    type: str
    source: Source
    node_id: str
    port: str | None = None
    label: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class InterfaceProblem:
    """An entry of a source that the interface has not, or has in another way, with the reason and what to do."""

    source: Source
    entry: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.source}: {self.entry}: {self.problem}{remedy}"
