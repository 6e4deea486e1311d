"""Installs the packs of a proposal, starts the server with them, and takes them back if it does not start."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from discomfort._system.concurrency import finish, in_thread
from discomfort.exceptions import DiscomfortError, PackInstallError, StateError
from discomfort.provision.installer_process import Installer
from discomfort.provision.pack_install import PackInstall, disable, pack_folders
from discomfort.provision.proposal import PackOffer
from discomfort.provision.provide_progress import ProvideProgress, ProvideReporter
from discomfort.provision.provide_report import ProvidedItem, failed_item
from discomfort.provision.server_site import ProvidedServer

_log = logging.getLogger("discomfort.provision")

INSTALL_SECONDS = 3600.0
"""Seconds for each program that installs something: pip may build a package, or fetch torch."""

_SERVER = "server"


class PackRound:
    """One round of packs. ``is_restarted`` and ``restart_reason`` say what became of the server."""

    is_restarted: bool
    restart_reason: str

    def __init__(
        self,
        server: ProvidedServer,
        reporter: ProvideReporter,
        environ: Mapping[str, str],
        any_version: bool,
        protocols: str,
    ) -> None:
        self._server, self._reporter, self._environ = server, reporter, environ
        self._any_version, self._protocols = any_version, protocols
        self.is_restarted, self.restart_reason = False, ""

    async def run(self, offers: tuple[PackOffer, ...]) -> list[ProvidedItem]:
        """Install them one after the other, then restart the server. Raises the server's errors if it stays down.

        Each takes its time, so no deadline of the models counts for it.
        """
        custom_nodes = self._server.site.custom_nodes
        if not offers or custom_nodes is None:
            return []
        before = await in_thread(lambda: pack_folders(custom_nodes))
        items = [await self._install(offer) for offer in offers]
        if all(item.outcome == "failed" for item in items):
            return items
        if await self._server.is_busy():
            self.restart_reason = "runs are under way, which a restart would end; call provide() again after them"
            return items
        try:
            broken = await self._restart(custom_nodes, before)
        except StateError as error:
            self.restart_reason = str(error)
            return items
        if broken is not None:
            return [item if item.outcome == "failed" else failed_item(item, broken) for item in items]
        return await self._loaded(offers, items)

    async def _install(self, offer: PackOffer) -> ProvidedItem:
        def say(line: str) -> None:
            self._reporter.tell(ProvideProgress(offer.name, "pack", "working", text=line))

        item = ProvidedItem("pack", offer.name, "installed", offer.folder)
        say(f"installing by {offer.way}")
        installer = Installer(offer.name, self._server, self._environ, INSTALL_SECONDS, say)
        install = PackInstall(offer, installer, any_version=self._any_version, protocols=self._protocols)
        try:
            outcome = await install.run()
        except PackInstallError as error:
            return failed_item(item, error)
        self._reporter.tell(ProvideProgress(offer.name, "pack", "done"))
        return ProvidedItem("pack", offer.name, outcome, offer.folder)

    async def _restart(self, custom_nodes: Path, before: set[str]) -> PackInstallError | None:
        """Start the server with the new packs; if it does not start, without them, which is the error."""
        self._tell("starting the server with the new packs")
        try:
            await self._server.restart()
        except StateError:
            raise
        except DiscomfortError as error:
            new = sorted(await in_thread(lambda: pack_folders(custom_nodes)) - before)
            if not new:
                raise
            await finish(in_thread(lambda: [disable(custom_nodes / name) for name in new]))
            _log.warning("the server does not start with %s; they are disabled", ", ".join(new))
            self._tell("starting the server without them")
            await self._server.restart()
            self.is_restarted = True
            made = PackInstallError(
                f"the server does not start with it: {error}", pack=", ".join(new),
                remedy="The folders have the suffix .disabled now, and the server runs without them",
            )  # fmt: skip
            made.__cause__ = error
            return made
        self.is_restarted = True
        self._reporter.tell(ProvideProgress(_SERVER, "server", "done"))
        return None

    async def _loaded(self, offers: tuple[PackOffer, ...], items: list[ProvidedItem]) -> list[ProvidedItem]:
        """The items, failed where the server still lacks classes of the pack."""
        known = await self._server.class_types()
        checked = []
        for offer, item in zip(offers, items, strict=True):
            lacking = [name for name in offer.need.class_types if name not in known]
            if lacking and item.outcome != "failed":
                problem = f"it is in {offer.folder.parent}, and the server still lacks {', '.join(lacking)}"
                remedy = "The server's log says why, if it could not be loaded; connector.diagnostics() has its end"
                item = failed_item(item, PackInstallError(problem, pack=offer.name, remedy=remedy))
            checked.append(item)
        return checked

    def _tell(self, text: str) -> None:
        self._reporter.tell(ProvideProgress(_SERVER, "server", "working", text=text))
