"""A proposal: the models and packs that would be fetched and installed, for people to agree to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yarl import URL

from discomfort._json import JsonObject
from discomfort.planning.needs import ModelNeed, PackNeed
from discomfort.planning.workflow_plan import size_text
from discomfort.provision.addresses import is_encrypted, shown
from discomfort.provision.model_places import ModelTarget

Way = Literal["manager", "comfy-cli", "git", "requirements"]
"""How a pack is installed. ``requirements``: it is there, and what it imports is not."""

ObstacleKind = Literal["model", "pack", "file", "value", "problem"]


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model that can be fetched from ``host`` to ``path``. The query of its address is not shown."""

    need: ModelNeed
    url: URL = field(repr=False)
    target: ModelTarget

    @property
    def host(self) -> str:
        """The host that is asked for it first; it may redirect to others."""
        return self.url.host or ""

    @property
    def path(self) -> Path:
        """The file that appears."""
        return self.target.path

    @property
    def size(self) -> int | None:
        """Its exact size in bytes, if that is known: lists for people round it."""
        return self.need.size if self.need.source in (None, "models") else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful person would want to know."""
        found = []
        if self.need.digest is None:
            found.append("nothing tells its hash, so what arrives is not checked")
        if not is_encrypted(self.url):
            found.append("the connection is not encrypted")
        if self.target.may_have_code:
            found.append("a file of this format may contain code; .safetensors cannot")
        return tuple(found)

    def lines(self) -> Iterator[str]:
        """The offer as text."""
        size = "of unknown size" if self.need.size is None else size_text(self.need.size)
        digest = f", checked by {self.need.digest.algorithm}" if self.need.digest else ""
        yield f"fetch {self.need.place}: {size} from {self.host}{digest}"
        yield f"    from {shown(self.url)}"
        yield f"    to {self.path}"
        yield from (f"    note: {warning}" for warning in self.warnings)


@dataclass(frozen=True, slots=True)
class PackOffer:
    """A node pack that can be installed in ``folder``, with its requirements into ``python``.

    ``source`` is a Git address, or the pack's name in the Comfy registry. ``command`` is what is run, if the pack is
    not cloned by us.
    """

    need: PackNeed
    way: Way
    name: str
    source: str
    folder: Path
    python: str
    command: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def lines(self) -> Iterator[str]:
        """The offer as text."""
        version = f" {self.need.version}" if self.need.version else ""
        by = {"manager": "by ComfyUI-Manager", "comfy-cli": "by comfy-cli", "git": "by git"}.get(self.way)
        if by is None:
            yield f"install the requirements of {self.name}, which did not load, into {self.python}"
            return
        yield f"install {self.name}{version} {by} from {self.source}"
        yield f"    to {self.folder}, with its requirements into {self.python}"
        yield "    note: its code runs in ComfyUI, with all that you may do; then the server is started again"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that the plan needs and that cannot be provided, with the reason and what helps.

    ``kind`` is ``model``, ``pack``, ``file``, ``value`` (one that the server refuses) or ``problem`` (another reason
    for which a run would fail).
    """

    kind: ObstacleKind
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What :meth:`ComfyConnector.provide` would do. As text it is what people are asked to agree to."""

    models: tuple[ModelOffer, ...] = ()
    packs: tuple[PackOffer, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.models and not self.packs

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts from which models come."""
        return tuple(dict.fromkeys(offer.host for offer in self.models))

    @property
    def size(self) -> int:
        """Bytes of all models, as far as they are known."""
        return sum(offer.need.size or 0 for offer in self.models)

    def to_json(self) -> JsonObject:
        """The proposal as values for JSON, without the queries of addresses."""
        return {
            "models": [
                {
                    "name": offer.need.place, "host": offer.host, "url": shown(offer.url), "size": offer.need.size,
                    "digest": str(offer.need.digest) if offer.need.digest else None, "path": str(offer.path),
                    "warnings": list(offer.warnings),
                }
                for offer in self.models
            ],
            "packs": [
                {
                    "name": offer.name, "way": offer.way, "source": offer.source, "version": offer.need.version,
                    "folder": str(offer.folder), "python": offer.python,
                }
                for offer in self.packs
            ],
            "impossible": [{"kind": each.kind, "name": each.name, "reason": each.reason} for each in self.obstacles],
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [line for model in self.models for line in model.lines()]
        lines += [line for pack in self.packs for line in pack.lines()]
        if self.models:
            unsized = sum(offer.need.size is None for offer in self.models)
            sizes = [size_text(self.size)] if unsized < len(self.models) else []
            sizes += [f"{unsized} of unknown size"] if unsized else []
            lines.append(f"together: {' and '.join(sizes)}")
        if self.obstacles:
            lines.append("cannot be provided:")
            lines += [f"    {each.name}: {each.reason}" for each in self.obstacles]
        return "\n".join(lines or ["nothing is missing"])


def without_repeats(offers: Sequence[ModelOffer]) -> tuple[ModelOffer, ...]:
    """One offer for each file: two nodes may name the same model."""
    return tuple({offer.path: offer for offer in reversed(offers)}.values())[::-1]
