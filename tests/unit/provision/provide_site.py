"""A server of which only the folders are there, and plans with one model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from discomfort.planning.needs import FileDigest, ModelNeed, PackNeed
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.provision.file_receiver import DownloadLimits
from discomfort.provision.provide_progress import ProvideProgress
from discomfort.provision.provide_report import ProvideReport
from discomfort.provision.provider import Consent, ProvideOptions, Provider
from discomfort.provision.server_site import ServerSite

NAME = "model.safetensors"
PATIENT = DownloadLimits(first_pause=0.01)
HASTY = DownloadLimits(stall=0.3, tries=2, first_pause=0.01)


class StandInServer:
    """A server in ``home`` that runs nothing: ``starts`` counts its restarts, ``refuses`` are errors of the next.

    ``new`` is the plan after something changed.
    """

    def __init__(self, home: Path, *, is_ours: bool = True, python: str = "python3") -> None:
        self.models, self.packs = home / "models", home / "custom_nodes"
        for folder in (self.models / "checkpoints", self.packs):
            folder.mkdir(parents=True, exist_ok=True)
        self.site = ServerSite(is_ours, python, home, self.packs)
        self.busy = False
        self.starts, self.forgotten = 0, 0
        self.new: WorkflowPlan | None = None
        self.refuses: list[Exception] = []
        self.watched: list[int] = []
        self.kinds: Any = [
            {"name": "checkpoints",
             "folders": [str(self.models / "checkpoints")],
             "extensions": [".safetensors", ".pt"]},
            {"name": "diffusion_models",
             "folders": [str(self.models / "unet"), str(self.models / "diffusion_models")],
             "extensions": [".safetensors"]},
            {"name": "custom_nodes", "folders": [str(self.packs)]},
        ]  # fmt: skip

    async def is_busy(self) -> bool:
        return self.busy

    async def model_folders(self) -> Any:
        return self.kinds

    async def model_names(self, kind: str) -> list[str] | None:
        folders = [Path(path) for each in self.kinds if each["name"] == kind for path in each["folders"]]
        return [str(file.relative_to(folder)) for folder in folders for file in folder.rglob("*.*")]

    def forget_definitions(self) -> None:
        self.forgotten += 1

    async def restart(self) -> None:
        self.starts += 1
        if self.refuses:
            raise self.refuses.pop(0)

    async def class_types(self) -> frozenset[str]:
        found = (path.read_text().split() for path in self.packs.glob("*/classes.txt"))
        return frozenset(name for names in found for name in names)

    async def new_plan(self) -> WorkflowPlan | None:
        return self.new

    def watch(self, pid: int, start_time: float) -> None:
        self.watched.append(pid)

    def forget(self, pid: int) -> None:
        self.watched.remove(pid)


def target(server: StandInServer) -> Path:
    """Where :func:`model` is fetched to."""
    return server.models / "checkpoints" / NAME


def traces(server: StandInServer) -> list[str]:
    """Everything in the folder of the model, hidden files too."""
    return sorted(path.name for path in target(server).parent.iterdir())


def sha256(content: bytes) -> FileDigest:
    """The digest of these bytes."""
    return FileDigest("sha256", hashlib.sha256(content).hexdigest())


def model(url: str | None, **more: Any) -> ModelNeed:
    """A missing checkpoint."""
    facts: dict[str, Any] = {"name": NAME, "folder": "checkpoints", "is_there": False, "inputs": ("1.ckpt_name",)}
    return ModelNeed(**{**facts, "url": url, **more})


def plan(*needs: ModelNeed | PackNeed) -> WorkflowPlan:
    """A plan that lacks these."""
    return WorkflowPlan(
        models=tuple(need for need in needs if isinstance(need, ModelNeed)),
        packs=tuple(need for need in needs if isinstance(need, PackNeed)),
    )


async def provide(
    server: StandInServer,
    needed: WorkflowPlan,
    *,
    yes: bool = True,
    consent: Consent | None = None,
    dry_run: bool = False,
    seen: list[ProvideProgress] | None = None,
    environ: dict[str, str] | None = None,
    **options: Any,
) -> ProvideReport:
    """Provide on loopback, whose addresses are private, with some room to spare on the disk of tests."""
    chosen = ProvideOptions(**{"allow_private": True, "reserve": 0, "limits": PATIENT, **options})
    told = None if seen is None else seen.append
    return await Provider(server, needed, chosen, told, environ or {}).run(yes=yes, consent=consent, dry_run=dry_run)
