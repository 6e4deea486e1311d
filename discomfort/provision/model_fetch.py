"""Fetches the models of a proposal, several at once."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from typing import Literal

import aiohttp
from yarl import URL

from discomfort._system.concurrency import in_thread
from discomfort._system.http_sessions import make_route, open_session
from discomfort.exceptions import DiscomfortError, DownloadError, DownloadStalledError, UploadError
from discomfort.files.places import open_place
from discomfort.provision.addresses import is_public, shown
from discomfort.provision.disk_room import DiskRoom
from discomfort.provision.file_download import FileDownload
from discomfort.provision.file_receiver import DownloadLimits, FileGoal, FileReceiver, Stage
from discomfort.provision.file_request import FileRequest
from discomfort.provision.host_tokens import HostTokens
from discomfort.provision.proposal import ModelOffer
from discomfort.provision.provide_progress import ProvideProgress, ProvideReporter
from discomfort.provision.provide_report import ProvidedItem, failed_item

_READ_BUFFER = 1 << 20


class ModelFetch:
    """Fetches models. ``parallel`` at once; ``deadline`` is the loop's time at which those under way are given up."""

    def __init__(
        self,
        tokens: HostTokens,
        room: DiskRoom,
        reporter: ProvideReporter,
        *,
        limits: DownloadLimits,
        parallel: int,
        deadline: float | None,
        allows_private: bool,
    ) -> None:
        self._tokens, self._room, self._reporter, self._limits = tokens, room, reporter, limits
        self._gate, self._deadline, self._allows_private = asyncio.Semaphore(parallel), deadline, allows_private
        self._sessions = _Sessions(allows_private=allows_private)

    async def run(self, offers: tuple[ModelOffer, ...]) -> list[ProvidedItem]:
        """Fetch all of them; one that fails does not stop the others. Cancellation stops all and keeps what arrived."""
        async with self._sessions, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(offer)) for offer in offers]
        return [task.result() for task in tasks]

    async def _one(self, offer: ModelOffer) -> ProvidedItem:
        item = ProvidedItem("model", offer.need.place, "fetched", offer.path, offer.size)
        try:
            async with asyncio.timeout_at(self._deadline), self._gate:
                outcome = await self._fetched(offer)
        except TimeoutError as error:
            if isinstance(error, DiscomfortError):
                return failed_item(item, error)
            problem = "the time for it was over; what arrived is kept"
            return failed_item(item, DownloadStalledError(problem, name=offer.need.name, url=shown(offer.url)))
        except UploadError as error:
            remedy = "Name where the link leads as a folder of models (extra_model_paths.yaml), or replace the link"
            return failed_item(item, _failure(offer, str(error), error, remedy))
        except DiscomfortError as error:
            return failed_item(item, error)
        except OSError as error:
            problem = f"it cannot be written to {offer.path}: {error.strerror or error}"
            return failed_item(item, _failure(offer, problem, error))
        size = await in_thread(lambda: _size(offer))
        return ProvidedItem("model", offer.need.place, outcome, offer.path, size)

    async def _fetched(self, offer: ModelOffer) -> Literal["fetched", "present"]:
        target, need = offer.target, offer.need
        token = await self._tokens.for_url(offer.url)
        request = FileRequest(need.name, offer.url, token, self._allows_private)
        with contextlib.ExitStack() as stack:
            await in_thread(lambda: _make_root(offer))
            place = await in_thread(lambda: stack.enter_context(open_place(target.root, target.parts, create=True)))
            goal = FileGoal(
                request=request, target=place.path / target.name, places=(offer.path, *target.places),
                size=offer.size, digest=need.digest,
            )  # fmt: skip

            def tell(stage: Stage, received: int, total: int | None) -> None:
                self._reporter.tell(ProvideProgress(need.place, "model", stage, received, total or need.size))

            receiver = FileReceiver(goal, self._sessions.for_url(offer.url), self._room, self._limits, tell)
            download = FileDownload(goal, receiver, self._room, self._limits, tell, deadline=self._deadline)
            return await download.run()


def _failure(offer: ModelOffer, problem: str, cause: Exception, remedy: str = "") -> DownloadError:
    made = DownloadError(problem, name=offer.need.name, url=shown(offer.url), remedy=remedy)
    made.__cause__ = cause
    return made


class _Sessions(contextlib.AbstractAsyncContextManager["_Sessions"]):
    """A session for each way to the internet: directly, or through the proxy that the environment names."""

    def __init__(self, *, allows_private: bool) -> None:
        self._allows_private = allows_private
        self._made: dict[str | None, aiohttp.ClientSession] = {}

    async def __aexit__(self, *exc: object) -> None:
        for session in self._made.values():
            await session.close()

    def for_url(self, url: URL) -> aiohttp.ClientSession:
        """The session for an address. Raises ConfigurationError for a proxy that cannot be used."""
        proxy = _proxy_for(url)
        if proxy not in self._made:
            # A proxy looks names up itself, and often has a private address.
            accepts = None if self._allows_private or proxy is not None else is_public
            self._made[proxy] = open_session(
                route=make_route(proxy=proxy), accepts=accepts, read_bufsize=_READ_BUFFER, auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )  # fmt: skip
        return self._made[proxy]


def _proxy_for(url: URL) -> str | None:
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    found = urllib.request.getproxies()
    return found.get(url.scheme) or found.get("all") or None


def _make_root(offer: ModelOffer) -> None:
    offer.target.root.mkdir(parents=True, exist_ok=True)


def _size(offer: ModelOffer) -> int | None:
    found = next((path for path in (offer.path, *offer.target.places) if path.is_file()), None)
    return found.stat().st_size if found is not None else None
