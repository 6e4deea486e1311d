"""The official templates, and what the real frontend makes of them: each is converted once, and kept in a folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discomfort import ComfyConnector
from discomfort.exceptions import DiscomfortError

Json = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A workflow, and the prompt that the frontend made of it, or why it made none."""

    name: str
    workflow: Json
    prompt: Json | None
    problem: str = ""

    @property
    def has_subgraphs(self) -> bool:
        """Whether it defines any."""
        return bool((self.workflow.get("definitions") or {}).get("subgraphs"))


def found(folders: Iterable[Path]) -> Iterator[tuple[str, Json]]:
    """Each different workflow in folders of templates, by name."""
    seen: set[str] = set()
    for number, folder in enumerate(folders):
        for path in sorted(folder.glob("*.json")):
            content = path.read_bytes()
            workflow = json.loads(content)
            digest = hashlib.sha256(content).hexdigest()
            if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list) and digest not in seen:
                seen.add(digest)
                yield f"{number}/{path.stem}", workflow


def kept_file(keep: Path, version: str, workflow: Json) -> Path:
    """Where the result of a conversion is kept."""
    digest = hashlib.sha256(json.dumps(workflow, sort_keys=True).encode()).hexdigest()[:32]
    return keep / f"{version}-{digest}.json"


async def convert(connector: ComfyConnector, workflow: Json) -> Json:
    """A conversion as it is kept: the prompt, or the problem."""
    try:
        return {"prompt": await connector.get_prompt_from_workflow(workflow)}
    except DiscomfortError as error:
        return {"problem": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


async def convert_all(connector: ComfyConnector, version: str, folders: Iterable[Path], keep: Path) -> None:
    """Convert the templates that were not converted before."""
    for name, workflow, file in missing(version, folders, keep):
        print(name, flush=True)
        await asyncio.to_thread(file.write_bytes, json.dumps(await convert(connector, workflow)).encode())


def missing(version: str, folders: Iterable[Path], keep: Path) -> list[tuple[str, Json, Path]]:
    """The templates that were not converted before, and the files for their prompts."""
    files = ((name, workflow, kept_file(keep, version, workflow)) for name, workflow in found(folders))
    return [each for each in files if not each[2].is_file()]


def kept_templates(version: str, folders: Iterable[Path], keep: Path) -> list[Template]:
    """Those that were converted before."""
    templates = []
    for name, workflow in found(folders):
        file = kept_file(keep, version, workflow)
        if not file.is_file():
            continue
        kept: Mapping[str, Any] = json.loads(file.read_bytes())
        templates.append(Template(name, workflow, kept.get("prompt"), kept.get("problem", "")))
    return templates
