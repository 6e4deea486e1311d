"""What a workflow needs: models, node packs, files, and money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["sha256", "sha1", "md5", "blake3", "crc32"]


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The digest that a file must have, in small hex digits."""

    algorithm: Algorithm
    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNeed:
    """One model file. ``name`` may have a subfolder (``sdxl/base.safetensors``), ``folder`` is ComfyUI's name for the
    kind of model (``checkpoints``), or ``""`` if nothing tells it.

    ``size`` is in bytes. ``is_gated`` is ``None`` if it is not known. ``near`` are similar names that are there, the
    nearest first. ``inputs`` are the places that name it (``4.ckpt_name``).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PackNeed:
    """One node pack that is missing or failed to load, with the classes that the workflow uses of it.

    ``pack_id`` is its name in the Comfy registry (``cnr_id``), ``repository`` a Git address (``aux_id``); both are
    ``None`` if nothing tells where the classes come from. ``import_error`` is the last line of the error with which the
    server could not load it.
    """

    class_types: tuple[str, ...]
    node_ids: tuple[str, ...] = ()
    pack_id: str | None = None
    version: str | None = None
    repository: str | None = None
    import_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNeed:
    """An input file that the workflow names and the server does not have."""

    name: str
    input: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueNeed:
    """A value that the server would refuse, with the nearest one that it takes."""

    input: str
    value: object
    problem: str
    nearest: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerNeed:
    """A node that calls a paid service."""

    node_id: str
    class_type: str
    has_key: bool
