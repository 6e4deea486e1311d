"""The kinds of needs of a workflow: models, node packs, files, and money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from discomfort._error_text import install_command

CORE_PACK = "comfy-core"
"""The pack that workflows name for ComfyUI's own nodes."""

Algorithm = Literal["sha256", "sha1", "md5", "blake3", "crc32"]


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The digest that a file must have, in small hex digits."""

    algorithm: Algorithm
    digits: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digits}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeed:
    """One model file. ``name`` may have a subfolder (``sdxl/base.safetensors``), ``folder`` is ComfyUI's name for the
    kind of model (``checkpoints``), or ``""`` if nothing tells it.

    ``size`` is in bytes. ``is_gated`` is ``None`` if it is not known. ``near`` are similar names that are there, the
    nearest first. ``inputs`` are the places that name it (``4.ckpt_name``); for a node of an unknown class only its id.
    Without any, the workflow names the model, but nothing that would run uses it. ``source`` says where the URL is
    from: the workflow's list of ``models``, one of its ``notes``, or the ``manager`` of the server.
    """

    name: str
    folder: str
    is_there: bool
    inputs: tuple[str, ...] = ()
    url: str | None = None
    size: int | None = None
    digest: FileDigest | None = None
    is_gated: bool | None = None
    near: tuple[str, ...] = ()
    source: Literal["models", "notes", "manager"] | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a run needs it and it is not there."""
        return not self.is_there and bool(self.inputs)

    @property
    def place(self) -> str:
        """Folder and name, as ``checkpoints/base.safetensors``."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PackNeed:
    """One node pack that is missing or failed to load, with the classes that the workflow uses of it.

    ``pack_id`` is its name in the Comfy registry (``cnr_id``), ``repository`` a Git address (``aux_id``); both are
    ``None`` if nothing tells where the classes come from. ``import_error`` is the last line of the error with which the
    server could not load it. ``candidates`` are the addresses of further packs with these classes, by the manager's
    list.
    """

    class_types: tuple[str, ...]
    node_ids: tuple[str, ...] = ()
    pack_id: str | None = None
    version: str | None = None
    repository: str | None = None
    import_error: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def install(self) -> str | None:
        """The command of comfy-cli that installs it; ``None`` if there is none, as for ComfyUI's own nodes."""
        if self.pack_id is not None:
            return install_command([self.pack_id])
        short = (self.repository or "").removeprefix("https://github.com/").removesuffix(".git")
        return install_command([short or None])

    @property
    def remedy(self) -> str:
        """What helps, in a few words."""
        if self.import_error is not None:
            return "install what it lacks, or another version of it, and restart ComfyUI"
        if self.pack_id == CORE_PACK:
            return "update ComfyUI: newer versions have them"
        return self.install or "search for the names of its nodes at https://registry.comfy.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNeed:
    """An input file that the workflow names and the server does not have."""

    name: str
    input: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueNeed:
    """A value that the server would refuse, with the nearest one that it takes.

    ``input`` is a place (``3.steps``), or with ``is_named`` the name of an input of the interface.
    """

    input: str
    value: object
    problem: str
    nearest: object = None
    is_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerNeed:
    """A node that calls a paid service."""

    node_id: str
    class_type: str
    has_key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSpace:
    """A folder of the server in which missing models belong.

    ``path`` is the first of its paths on the server's machine. ``needed`` is the size of the missing models in bytes,
    as far as it is known, ``unsized`` how many have no known size. ``free`` is ``None`` if the server runs elsewhere.
    """

    folder: str
    path: str
    needed: int = 0
    unsized: int = 0
    free: int | None = None

    @property
    def is_short(self) -> bool:
        """Whether there is certainly too little space."""
        return self.free is not None and self.needed > self.free


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """The size of all models of the workflow, in bytes, and the memory of the server.

    ``weights`` counts the files whose size is known, ``unsized`` the others. A run needs less if the server unloads
    models between nodes, and more for the pictures.
    """

    weights: int
    unsized: int = 0
    device: str = ""
    device_total: int | None = None
    device_free: int | None = None
    ram_total: int | None = None
    ram_free: int | None = None
