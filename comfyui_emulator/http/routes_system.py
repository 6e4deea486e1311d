"""The route about the machine and the server, and the packages that the server uses."""

from __future__ import annotations

import os
import sys
from importlib import metadata, resources
from pathlib import Path

from aiohttp import web

from comfyui_emulator.registry import JsonObject
from comfyui_emulator.server import of
from comfyui_emulator.settings import COMFYUI_VERSION

routes = web.RouteTableDef()

PACKAGES = ("comfyui-frontend-package", "comfyui-workflow-templates", "comfyui-embedded-docs")
"""Packages with files that ComfyUI serves, and the emulator too if they are installed."""


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_folder(package: str, folder: str) -> Path | None:
    """A data folder of an installed package, found without importing the package; ``None`` if it has none."""
    try:
        path = Path(str(resources.files(package))) / folder
    except (ModuleNotFoundError, TypeError):
        return None
    return path if path.is_dir() else None


@routes.get("/system_stats")
async def system_stats(request: web.Request) -> web.Response:
    """Data about the machine and the server; ``discomfort`` marks the emulator, and has the models of its device."""
    import psutil

    memory = psutil.virtual_memory()
    versions = {name: _package_version(name) for name in PACKAGES}
    frontend, templates = versions[PACKAGES[0]], versions[PACKAGES[1]]
    system: JsonObject = {
        "os": sys.platform,
        "ram_total": memory.total,
        "ram_free": memory.available,
        "comfyui_version": COMFYUI_VERSION,
        "required_frontend_version": frontend,
        "installed_templates_version": templates,
        "required_templates_version": templates,
        # Whatever is installed will do, so that is what is required.
        "comfy_package_versions": [
            {"name": name, "installed": version, "required": version} for name, version in versions.items()
        ],
        "python_version": sys.version,
        "pytorch_version": "none (discomfort emulator)",
        "embedded_python": False,
        "deploy_environment": "local-git",
        "argv": list(of(request).config.argv),
        "discomfort": {"emulator": True, "version": _package_version("discomfort"), "pid": os.getpid()},
    }
    simulated = of(request).device
    device: JsonObject = {
        "name": "cpu",
        "type": "cpu",
        "index": None,
        "vram_total": memory.total,
        "vram_free": memory.available,
        "torch_vram_total": memory.total,
        "torch_vram_free": memory.available,
    }
    if simulated is not None:
        system["discomfort"]["models"] = simulated.report()
        if simulated.size is not None:
            device = simulated.stats()
    return web.json_response({"system": system, "devices": [device]})
