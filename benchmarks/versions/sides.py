"""The two sides of a comparison: how each is started and asked about itself."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.parity import servers
from benchmarks.parity.servers import NODES, Server
from benchmarks.versions import installations

PACKS = (NODES, Path(__file__).parent / "nodes")
EMULATOR = "emulator"
EMULATOR_PACKAGES = (installations.FRONTEND, "aiohttp", "av", "numpy", "pillow")


class Side:
    """A ComfyUI by its folder, or the emulator."""

    def __init__(self, folder: Path | None, definitions: Path | None = None) -> None:
        self.folder, self.definitions = folder, definitions
        self.version = "unknown"

    def __str__(self) -> str:
        return f"{self.folder or EMULATOR}, version {self.version}"

    @classmethod
    def named(cls, name: str) -> Side:
        """The side that a name means. Raises ``FileNotFoundError``."""
        word, _, file = name.partition(":")
        if word == EMULATOR:
            return cls(None, Path(file) if file else None)
        folder = Path(name).resolve()
        if not (folder / "main.py").is_file():
            raise FileNotFoundError(f"{folder} is not a ComfyUI: it has no main.py")
        return cls(folder)

    def start(self, *, slim: bool = False) -> AbstractContextManager[Server]:
        """A server in folders of its own, with the comparison's nodes; ``slim``: without those of partners."""
        if self.folder is None:
            definitions = ("--object-info", str(self.definitions)) if self.definitions else ()
            return servers.emulator(*definitions, packs=PACKS)
        return servers.comfyui(self.folder, None, *(["--disable-api-nodes"] if slim else []), packs=PACKS)

    def options(self) -> dict[str, str]:
        """The options of its command line."""
        if self.folder is None:
            return installations.options(
                installations.output([sys.executable, "-m", "comfyui_emulator", "--help"], Path.cwd())
            )
        python = servers.own_python(self.folder)
        return installations.options(installations.output([str(python), "main.py", "--help"], self.folder))

    def packages(self) -> dict[str, str]:
        """The packages that it needs, as asked for and as installed."""
        if self.folder is None:
            return installations.packages(Path(sys.executable), dict.fromkeys(EMULATOR_PACKAGES, ""), Path.cwd())
        return installations.packages(servers.own_python(self.folder), installations.required(self.folder), self.folder)
