"""A server of a pool on a Ray cluster, as the pool's process sees it: made, watched, lost and made anew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish
from discomfort.client.outputs import outputs_with
from discomfort.connector.background import BackgroundTasks
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import DiscomfortError, ServerDiedError, ServerStartError, ServerStartTimeout, StateError
from discomfort.pool.actor_ends import ActorLost, AvoidedNodes
from discomfort.pool.file_shelf import FileShelf
from discomfort.pool.lease import surely_over
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_actor import ActorFacts, ServerOrder
from discomfort.pool.server_profile import ServerProfile
from discomfort.progress import ProgressEvent

if TYPE_CHECKING:
    from discomfort.connector.file_upload import Upload

_log = logging.getLogger("discomfort.pool")

_ANSWER = 5.0
"""Seconds within which an actor answers."""

_CLOSE = 90.0
"""Seconds for an actor to release its server in order; a connector takes a minute at most."""

_PLACES = 3
"""Machines that are tried when actors die at once."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds between two attempts to make a lost server anew; each pause is twice the one before."""


class ServerLink(Protocol):
    """An actor, as :class:`discomfort.pool.ray.ActorLink` has it."""

    node: str

    @property
    def renewed_at(self) -> float:
        """When its lease was last renewed."""
        ...

    def renew(self) -> None:
        """Let its lease last."""
        ...

    def give_up(self) -> None:
        """Renew its lease no more."""
        ...

    async def call(self, name: str, *arguments: Any) -> Any:
        """The result of a method. Raises ActorLost."""
        ...

    def stream(self, name: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """The items of a generator. Raises ActorLost."""
        ...

    def kill(self) -> None:
        """End its process."""
        ...


@dataclass(frozen=True, slots=True)
class RayPlace:
    """What the servers of a pool share: how an actor is made that avoids some machines, and what is kept for all.

    ``wait`` is how long, in seconds, a server may wait for a machine with room.
    """

    make: Callable[[ServerOrder, frozenset[str]], ServerLink]
    shelf: FileShelf
    avoided: AvoidedNodes
    room: Callable[[], str] = lambda: ""
    """What the cluster has, in words."""
    wait: float = 600.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True, eq=False)
class _Life:
    """One actor from its making to its end."""

    link: ServerLink
    facts: ActorFacts | None = None
    is_ready: bool = False
    loss: ActorLost | None = None
    began: float = field(default_factory=time.monotonic)


class RayServer:
    """See :class:`~discomfort.pool.pool_servers.PoolServer`. Its actor lives once; a lost one is replaced."""

    is_owned = True

    def __init__(self, order: ServerOrder, labels: Mapping[str, str], place: RayPlace) -> None:
        self.name: str = order.name
        self._labels, self._order, self._place = dict(labels), order, place
        self._life: _Life | None = None
        self._changed: Callable[[], None] = lambda: None
        self._background = BackgroundTasks()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<RayServer {self.name} on {self.node or 'no machine'}>"

    # --- what it is ------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> Mapping[str, str]:
        """What runs may ask for: the labels of its machine, and those that the pool gives to it."""
        facts = self._life.facts if self._life is not None else None
        return {**(facts.labels if facts is not None else {}), **self._labels}

    @property
    def node(self) -> str:
        """The id of its machine, empty if it has none now."""
        return self._life.link.node if self._life is not None else ""

    @property
    def server_address(self) -> str:
        """Its URL on its machine, of no use elsewhere; the fragment tells servers of several machines apart."""
        facts = self._life.facts if self._life is not None else None
        return f"{facts.url}#{facts.node}" if facts is not None else ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called whenever :attr:`is_ready` may have changed."""
        self._changed = changed

    @property
    def is_ready(self) -> bool:
        """Whether the actor lives and its server is ready, as far as is known."""
        return self._life is not None and self._life.is_ready and self._life.loss is None

    def renew(self) -> None:
        """Renew the actor's lease, from any thread."""
        life = self._life
        if life is not None and life.loss is None:
            life.link.renew()

    # --- its actor -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Have an actor made that starts the server. Raises ServerStartError, and what the server's start raises."""
        for attempt in range(1, _PLACES + 1):
            life = self._life = _Life(self._place.make(self._order, self._place.avoided.now()))
            try:
                await self._begin(life)
            except ActorLost as lost:
                self._discard(life)
                self._place.avoided.note(life.link.node)
                if attempt == _PLACES:
                    raise ServerStartError(f"the actor of the server {self.name} died: {lost.problem}") from lost
                _log.warning("the actor of the server %s died at once: %s", self.name, lost.problem)
            except BaseException:
                self._discard(life)
                raise
            else:
                return

    def _discard(self, life: _Life) -> None:
        life.link.kill()
        self._life = None

    async def _begin(self, life: _Life) -> None:
        """Wait for a machine, then for the server."""
        try:
            async with asyncio.timeout(self._place.wait):
                facts: ActorFacts = await life.link.call("where")
        except TimeoutError:
            problem = f"the cluster had no room for the server {self.name} within {self._place.wait:g} s"
            raise ServerStartTimeout(
                f"{problem}: {self._place.room()}", remedy="Ask for less, or add machines"
            ) from None
        life.link.node = facts.node
        life.facts = await life.link.call("start")
        _log.info("the server %s runs on %s, in process %d", self.name, facts.host, facts.pid)
        life.is_ready = True
        self._background.spawn(self._follow(life), "discomfort-ray-states")

    async def _follow(self, life: _Life) -> None:
        """Keep up with the server's state, until the actor is lost."""
        lost = ActorLost("it told no more states", is_certain=False)
        try:
            async with aclosing(life.link.stream("states")) as states:
                async for is_ready in states:
                    if is_ready != life.is_ready:
                        life.is_ready = is_ready
                        self._changed()
        except ActorLost as error:
            lost = error
        self._lose(life, lost)

    def _lose(self, life: _Life, lost: ActorLost) -> None:
        """An actor is lost: no more runs, and another one in its place as soon as nothing runs there any more."""
        if life.loss is not None:
            return
        life.loss = lost
        life.link.give_up()
        self._place.avoided.note_end(life.link.node, is_certain=lost.is_certain, seconds=time.monotonic() - life.began)
        self._changed()
        if not self._is_closed:
            _log.warning("the server %s is lost: %s", self.name, lost.problem)
            self._background.spawn(self._replace(life), "discomfort-ray-replace")

    async def _replace(self, life: _Life) -> None:
        await self._until_over(life)
        life.link.kill()
        pause = _FIRST_PAUSE
        while not self._is_closed:
            try:
                await self.start()
            except DiscomfortError as error:
                _log.warning("the server %s was not made anew: %s", self.name, error)
                await self._place.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._changed()
                return

    async def _until_over(self, life: _Life) -> None:
        """Wait until nothing of an actor runs any more: its process has ended, or its lease is over."""
        if life.loss is not None and not life.loss.is_certain:
            over = surely_over(life.link.renewed_at, self._order.lease)
            await self._place.sleep(max(0.0, over - time.monotonic()))

    # --- calls -----------------------------------------------------------------------------------------------------

    def _alive(self) -> _Life:
        if self._life is None or self._life.facts is None or self._life.loss is not None:
            raise StateError(f"the server {self.name} of the pool has no machine now")
        return self._life

    async def _call(self, name: str, *arguments: Any) -> Any:
        life = self._alive()
        try:
            return await life.link.call("call", name, *arguments)
        except ActorLost as lost:
            self._lose(life, lost)
            raise self._death(life, lost) from lost

    def _death(self, life: _Life, lost: ActorLost) -> ServerDiedError:
        where = f" on the machine {life.link.node}" if life.link.node else ""
        return ServerDiedError(f"the actor of the server {self.name}{where} was lost: {lost.problem}")

    async def profile(self) -> ServerProfile:
        """What it is and has, asked now."""
        profile: ServerProfile = await self._call("profile")
        return replace(profile, url=self.server_address)

    async def get(self, path: str) -> Any:
        """The JSON answer of a request."""
        return await self._call("get", path)

    async def convert(self, workflow: JsonObject) -> JsonObject:
        """The prompt of a workflow, by the frontend in a browser on the server's machine."""
        prompt: JsonObject = await self._call("convert", workflow)
        return prompt

    async def explain(self, workflow: JsonObject) -> Explanation:
        """The conversion as far as possible."""
        explanation: Explanation = await self._call("explain", workflow)
        return explanation

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether it has a file in one of its folders."""
        return bool(await self._call("has_file", name, subfolder, folder))

    async def upload_for_call(self, source: Path | bytes, name: str, subfolder: str) -> Upload:
        """Have a file there. Its content goes to the cluster's store once, and to each machine once."""
        life = self._alive()
        content = await self._place.shelf.reference(source)
        try:
            made: Upload = await life.link.call("upload", content, name, subfolder)
        except ActorLost as lost:
            self._lose(life, lost)
            raise self._death(life, lost) from lost
        return made

    async def discard_after_call(self, made: Upload) -> None:
        """Delete such a file where no other run needs it."""
        try:
            await self._call("discard_after_call", made)
        except DiscomfortError as error:
            _log.debug("a file of a run is gone with its server: %s", error)

    async def run(self, order: PoolOrder, on_event: Callable[[ProgressEvent], None]) -> RunRecord:
        """Run a prompt to its end, and bring what it gave to this machine.

        Raises ServerDiedError when the actor is lost and nothing of the run goes on any more: after the lease, if only
        that makes it certain.
        """
        life = self._alive()
        try:
            record = await self._stream(life, order, on_event)
        except ActorLost as lost:
            self._lose(life, lost)
            await self._until_over(life)
            raise self._death(life, life.loss or lost) from lost
        except asyncio.CancelledError:
            await finish(self._cancel(life, order.run_id))
            raise
        return record if order.folder is None else await _saved(record, order.folder / order.run_id)

    async def _stream(self, life: _Life, order: PoolOrder, on_event: Callable[[ProgressEvent], None]) -> RunRecord:
        async with aclosing(life.link.stream("run", replace(order, folder=None))) as batches:
            async for batch in batches:
                for item in batch:
                    if isinstance(item, RunRecord):
                        return item
                    on_event(item)
        raise ActorLost("the run ended without a result", is_certain=False)

    async def _cancel(self, life: _Life, run_id: str) -> None:
        try:
            await life.link.call("cancel", run_id)
        except ActorLost as lost:
            self._lose(life, lost)

    async def free(self) -> None:
        """Have it drop its models and results."""
        await self._call("free")

    async def wipe(self) -> None:
        """Have it forget what it did."""
        await self._call("wipe")

    async def problem(self) -> str:
        """Why it does not answer now, empty if it does."""
        try:
            async with asyncio.timeout(_ANSWER):
                return str(await self._call("problem"))
        except TimeoutError:
            return f"its actor did not answer within {_ANSWER:g} s"
        except DiscomfortError as error:
            return str(error)

    # --- its end ---------------------------------------------------------------------------------------------------

    def give_up(self, reason: str) -> None:
        """End the actor, and make another one once its lease is over: its machine may not obey."""
        life = self._life
        if life is not None and life.loss is None:
            life.link.kill()
            self._lose(life, ActorLost(reason, is_certain=False))

    async def close(self) -> None:
        """Release everything; an actor that does not answer is killed."""
        self._is_closed = True
        await self._background.end()
        life = self._life
        if life is None:
            return
        try:
            if life.loss is None:
                async with asyncio.timeout(_CLOSE):
                    await life.link.call("close")
        except Exception as error:  # noqa: BLE001 - the other servers must be released too
            _log.warning("the server %s was not released in order: %s", self.name, error)
        finally:
            life.link.kill()

    def kill_now(self) -> None:
        """Kill the actor; its watchdog ends the server."""
        self._is_closed = True
        self._background.cancel()
        if self._life is not None:
            self._life.link.kill()


async def _saved(record: RunRecord, folder: Path) -> RunRecord:
    """The record with its contents in files of a folder here."""
    outputs = outputs_with(record.history, record.artifacts)
    return replace(record, artifacts=tuple([await output.artifact(folder) for output in outputs]))
