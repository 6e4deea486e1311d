"""Installs one pack. A pack appears in ComfyUI's folder complete, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from discomfort._system.concurrency import finish, in_thread
from discomfort._system.locks import FileLock
from discomfort._system.removal import remove_tree
from discomfort.discovery.interpreters import has_module
from discomfort.exceptions import PackInstallError
from discomfort.provision.installer_process import Installer
from discomfort.provision.proposal import PackOffer

_LOCK = ".discomfort-packs.lock"
_LOCK_SECONDS = 1800.0
_LOCK_POLL = 0.2
_HIDDEN = ".discomfort-"
_DISABLED = ".disabled"
"""The suffix of folders that ComfyUI does not load."""


class PackInstall:
    """Installs the pack of one offer. ``any_version`` takes the newest where the repository lacks the wanted one."""

    def __init__(self, offer: PackOffer, installer: Installer, *, any_version: bool, protocols: str) -> None:
        self._offer, self._installer = offer, installer
        self._any_version, self._protocols = any_version, protocols

    async def run(self) -> Literal["installed", "present"]:
        """Install it, unless it is there. On errors nothing is left of it. Raises PackInstallError."""
        offer = self._offer
        try:
            async with self._locked(offer.folder.parent):
                if offer.way == "requirements":
                    await self._requirements(offer.folder)
                    return "installed"
                if offer.folder.exists():
                    return "present"
                if offer.way == "git":
                    await self._clone()
                else:
                    await self._installer.run(offer.command, offer.folder.parent, **dict(offer.variables))
                return "installed"
        except OSError as error:
            raise PackInstallError(str(error), pack=offer.name) from error

    @asynccontextmanager
    async def _locked(self, custom_nodes: Path) -> AsyncIterator[None]:
        """One process at a time installs packs there; what a killed one left is removed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LOCK_SECONDS
        while (lock := FileLock.take(custom_nodes / _LOCK)) is None:
            if loop.time() > deadline:
                raise PackInstallError("another process installs packs there, and does not end", pack=self._offer.name)
            await asyncio.sleep(_LOCK_POLL)
        try:
            await in_thread(lambda: _remove_left(custom_nodes))
            yield
        finally:
            lock.release(remove=True)

    async def _clone(self) -> None:
        offer = self._offer
        custom_nodes = offer.folder.parent
        hidden = custom_nodes / f"{_HIDDEN}{secrets.token_hex(8)}{_DISABLED}"
        try:
            # The address comes from a workflow: no other protocol, no option, no question.
            await self._git(["clone", "--recurse-submodules", "--", offer.source, str(hidden)], custom_nodes)
            await self._check_out(hidden)
            await self._requirements(hidden)
            hidden.rename(offer.folder)
            await self._own_script(offer.folder, hidden)
        finally:
            if hidden.exists():
                await finish(in_thread(lambda: remove_tree(hidden)))

    async def _git(self, words: list[str], cwd: Path) -> list[str]:
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": self._protocols, "GIT_ASKPASS": "", "LC_ALL": "C"}
        return await self._installer.run(["git", *words], cwd, **quiet)

    async def _check_out(self, folder: Path) -> None:
        version = self._offer.need.version
        if version is None or version in {"nightly", "latest"}:
            return
        for name in (f"refs/tags/v{version}", f"refs/tags/{version}", version):
            with contextlib.suppress(PackInstallError):
                await self._git(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], folder)
                await self._git(["checkout", "--quiet", "--detach", f"{name}^{{commit}}"], folder)
                await self._git(["submodule", "update", "--init", "--recursive"], folder)
                return
        if not self._any_version:
            raise PackInstallError(
                f"its repository has no version {version!r}", pack=self._offer.name,
                remedy="any_version=True (--any-version) takes the newest instead",
            )  # fmt: skip

    async def _requirements(self, folder: Path) -> None:
        file, python = folder / "requirements.txt", self._offer.python
        if not file.is_file():
            return
        if has_module(python, "pip"):
            words = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r", str(file)]
        elif uv := shutil.which("uv"):
            words = [uv, "pip", "install", "--python", python, "-r", str(file)]
        else:
            raise PackInstallError(
                f"{python} has no pip, and uv is not installed, so its requirements cannot be installed",
                pack=self._offer.name,
            )  # fmt: skip
        await self._installer.run(words, folder)

    async def _own_script(self, folder: Path, hidden: Path) -> None:
        """Run the pack's ``install.py``, as the manager does. If it fails, the pack goes."""
        if not (folder / "install.py").is_file():
            return
        try:
            await self._installer.run([self._offer.python, "install.py"], folder)
        except BaseException:
            os.replace(folder, hidden)  # noqa: PTH105 - a folder, which must not exist there
            raise


def _remove_left(custom_nodes: Path) -> None:
    for left in custom_nodes.glob(f"{_HIDDEN}*{_DISABLED}"):
        remove_tree(left)


def disable(folder: Path) -> Path:
    """Give a pack a name with which ComfyUI does not load it; returns that. Raises OSError."""
    target = folder.with_name(folder.name + _DISABLED)
    number = 2
    while target.exists():
        target = folder.with_name(f"{folder.name}.{number}{_DISABLED}")
        number += 1
    folder.rename(target)
    return target


def pack_folders(custom_nodes: Path) -> set[str]:
    """The names of the packs in a folder, as ComfyUI sees them."""
    if not custom_nodes.is_dir():
        return set()
    return {path.name for path in custom_nodes.iterdir() if not path.name.endswith(_DISABLED) and path.name[:1] != "."}
