"""The parts that one connector holds, acquired in order and released in reverse.

The only module that builds them: discovery, server, client, conversion, files. An owned set starts its server; an
attached set talks to a server that somebody else runs, and never stops what it did not start.
"""

# Longer than 400 lines: what takes a part and what gives it back, step by step and at once, must be read side by side.

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import platformdirs

from discomfort._system.concurrency import in_own_thread
from discomfort._system.http_sessions import DIRECT, Route
from discomfort._system.ownership import OWNER_VARIABLE, owner_mark
from discomfort._system.process_tree import TOKEN_VARIABLE
from discomfort._system.removal import remove_tree
from discomfort._system.system_support import obstacle
from discomfort.client.comfy import ComfyClient
from discomfort.config import KEY_VARIABLE, Settings
from discomfort.connector.release import ReleaseStep, release_all
from discomfort.context.folders import remove_leftovers
from discomfort.context.folders import roots as context_roots
from discomfort.context.probe import Probe
from discomfort.conversion import Converter
from discomfort.conversion.browser.session import private_directory
from discomfort.conversion.cache import PromptCache, default_directory
from discomfort.discovery.engines import Engine, EngineRequest, resolve_engine
from discomfort.exceptions import ServerDiedError, ServerStartError, StateError
from discomfort.files.journal import Journal
from discomfort.files.journal_entries import JournalEntry
from discomfort.files.store import FileStore
from discomfort.server.ports import PortLease, lease_port
from discomfort.server.readiness import accepts, start_budget, wait_until_ready
from discomfort.server.start_failures import PORT_TAKEN
from discomfort.server.supervisor import Supervisor
from discomfort.server.watchdog import Watchdog

_log = logging.getLogger("discomfort.connector.resources")

_PORT_TRIES = 3
_TAKING_SECONDS = 10.0
"""How long :meth:`Resources.kill_now` waits for a thread that acquires parts, such as one that starts the server."""


class Resources:
    """The parts of one connector; an attribute is ``None`` while its part is not held."""

    settings: Settings
    route: Route

    def __init__(
        self,
        settings: Settings,
        *,
        attach_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        route: Route = DIRECT,
        loads_nodes: bool = False,
    ):
        self.settings, self.route = settings, route
        self.loads_nodes = loads_nodes
        self.probe: Probe | None = None
        self.attach_url = attach_url
        self.headers: dict[str, str] = dict(headers or {})
        self.engine: Engine | None = None
        self.watchdog: Watchdog | None = None
        self.journal: Journal | None = None
        self.files: FileStore | None = None
        self.browser_directory: Path | None = None
        self.run_folder: Path | None = None
        self.lease: PortLease | None = None
        self.supervisor: Supervisor | None = None
        self.converter: Converter | None = None
        self.client: ComfyClient | None = None
        self.server_ready: asyncio.Event = asyncio.Event()
        self._owner = os.getpid()
        self._closed = False
        # Reentrant: release_now() in a signal handler may interrupt the very thread that is acquiring parts.
        self._lock = threading.RLock()

    @property
    def is_ours(self) -> bool:
        """Whether this process made the parts, as opposed to a forked child with a copy of them."""
        return os.getpid() == self._owner

    def _refuse_if_closed(self) -> None:
        """Raise StateError once everything was released: a part acquired now would never be given back."""
        if self._closed:
            raise StateError("the connector was shut down; create a new one")

    @contextmanager
    def _taking(self) -> Iterator[None]:
        """Guards an acquisition against :meth:`kill_now` in another thread, which sees all of it or nothing.

        Raises StateError, and keeps nothing, if that other thread ran in the meantime.
        """
        with self._lock:
            self._refuse_if_closed()
            try:
                yield
            finally:
                # kill_now() sets the flag before it waits for the lock, and gives up waiting after a while: then this
                # thread is the only one that knows the parts it has just acquired.
                if self._closed:
                    self.kill_now()
            self._refuse_if_closed()

    @property
    def owned(self) -> bool:
        """Whether we start and stop the server."""
        return self.attach_url is None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no report may contain: of headers, of the proxy's, of variables for the server, of keys."""
        proxy = [self.route.proxy_authorization] if self.route.proxy_authorization else []
        keys = [key.get_secret_value() for key in (self.settings.token, self.settings.api_key) if key is not None]
        return (*self.headers.values(), *proxy, *self.settings.server_environment.values(), *keys)

    @property
    def url(self) -> str:
        """Base URL of the server, without a trailing slash."""
        if self.attach_url is not None:
            return self.attach_url
        port = self.lease.port if self.lease else self.settings.initial_port
        return f"http://{self.settings.connect_host}:{port}"

    def prepare(self) -> None:
        """Resolve the engine, delete what dead processes left, start watchdog, journal and file store. Blocking.

        Raises StateError if everything was released meanwhile; nothing is kept then. Raises ServerStartError if a
        server cannot be owned on this system.
        """
        with self._taking():
            # The watchdog comes first: everything that the later steps create then survives no kill -9 of ours.
            if self.watchdog is None and (self.owned or not obstacle()):
                self.watchdog = Watchdog.start()
            remove_leftovers(*context_roots())
            journal = self.journal or self._open_journal(self.watchdog)
            # Recovery may have waited for another process, and a signal handler may have closed us in this thread.
            self._refuse_if_closed()
            if self.owned and self.engine is None:
                self._open_folders(journal)

    def _open_folders(self, journal: Journal) -> None:
        self.engine = resolve_engine(engine_request(self.settings, loads_nodes=self.loads_nodes))
        if self.loads_nodes:
            self.probe = Probe()
        for path in self.engine.private:
            self._note_private(path)
        folders = self.engine.folders
        targets = {"input": folders.input, "output": folders.output, "temp": folders.temp, "models": folders.models}
        self.files = FileStore(targets, journal)

    def _open_journal(self, watchdog: Watchdog | None) -> Journal:
        journal = self.journal = Journal(journal_directory())
        journal.recover()
        if watchdog is not None:
            journal.on_add = lambda entry: watchdog.watch_path(
                entry.path, root=entry.root, inode=entry.inode, only_empty=entry.kind == "folder"
            )
            journal.on_remove = lambda entry: watchdog.forget_path(entry.path)
        # Only a name until the browser starts: the journal must list it first, or a power cut would leave the folder.
        self.browser_directory = private_directory()
        self._note_private(self.browser_directory)
        return journal

    def claim_run_folder(self) -> Path:
        """A folder of our own in the output folder, for runs whose files are read and removed; blocking.

        It is removed with the connector, whatever ends it. Only its name is claimed: nodes that save make it.
        """
        with self._taking():
            if self.engine is None:
                raise AssertionError("prepare() comes before claim_run_folder()")
            if self.run_folder is None:
                self.run_folder = Path(self.engine.folders.output) / f"discomfort-{secrets.token_hex(4)}"
                self._note_private(self.run_folder)
            return self.run_folder

    def _note_private(self, path: Path) -> None:
        """Make sure that the folder is deleted with this process, or at the next start after a power cut."""
        # Journal and watchdog follow no symlink, so the folder above is resolved; the name itself is taken literally.
        path = path.parent.resolve() / path.name
        try:
            if self.journal is not None:
                self.journal.add(JournalEntry("private", path.parent, path))
        except OSError as error:
            _log.warning("the private folder %s is not in the journal, a power cut would leave it: %s", path, error)
            # add() informs the watchdog only once the line is on disk: with a full disk it is informed here.
            if self.watchdog is not None:
                self.watchdog.watch_path(path, root=path.parent)

    async def start_server(self, on_exit: Callable[[], None]) -> None:
        """Start the owned server and wait until it answers. If another program takes the port, try the next one.

        A server that already runs is kept.

        ``on_exit`` is called, from a thread, when the process or its execution thread ends.
        Raises ServerStartError (ServerStartTimeout); leaves the cleanup to :meth:`release_server`.
        """
        if self.supervisor is not None and self.supervisor.running:
            return
        settings, begun = self.settings, time.monotonic()
        for attempt in range(1, _PORT_TRIES + 1):
            supervisor = self._launch_server()
            try:
                await wait_until_ready(
                    supervisor, self.url, budget=self._budget_left(begun), whole=settings.start_timeout
                )
            except ServerStartError as error:
                # ComfyUI exits when it cannot bind its port; one that still runs failed for another reason.
                if attempt == _PORT_TRIES or supervisor.running:
                    raise
                # The other program may have left the port again by now; then the server's last lines name the reason.
                port = self.lease.port if self.lease else 0
                if PORT_TAKEN not in error.problem and not await accepts(settings.connect_host.strip("[]"), port):
                    raise
                _log.warning("port %d was taken by another program while the server started; trying the next", port)
                await self._stop_server()  # Gives back the port's lease too, so that the next try leases another.
            else:
                # release_now() may have run in another thread during the wait.
                self._refuse_if_closed()
                # Subscribed only now: an exit during the start is the start's own error, not the loss of a server.
                supervisor.on_exit(on_exit)
                # Pages that are loading hold their requests back until here.
                self.server_ready.set()
                return

    def _budget_left(self, begun: float) -> float:
        """Seconds that a server started now may take; ``begun`` is when the first one of this start was."""
        settings = self.settings
        if settings.start_timeout is None:
            return start_budget(settings.max_comfy_start_attempts, settings.comfy_start_attempts_sleep)
        return max(0.0, begun + settings.start_timeout - time.monotonic())

    def _launch_server(self) -> Supervisor:
        with self._taking():
            if self.engine is None:
                raise AssertionError("prepare() comes before start_server()")
            command = self.engine.command(self.take_port())
            # With the owner's pid and start in its environment, `doctor` can tell a server whose owner is dead.
            owned = {**(os.environ if command.env is None else command.env), OWNER_VARIABLE: owner_mark()}
            # Node packs can read their environment; those that need the key get it with their prompt.
            owned.pop(KEY_VARIABLE, None)
            if self.probe is not None:
                owned |= self.probe.environment
            self.supervisor = supervisor = Supervisor.start(replace(command, env=owned), watchdog=self.watchdog)
            return supervisor

    def learning_worker(self) -> AbstractContextManager[None]:
        """Wraps one prompt on an idle ComfyUI: the supervisor finds out which thread executes it, and watches it.

        Not needed for the emulator, whose thread no node can end, and not possible for an attached server.
        """
        learns = self.engine is not None and self.engine.kind == "comfyui"
        return self.supervisor.learn_worker() if self.supervisor is not None and learns else nullcontext()

    def take_port(self) -> int:
        """Lease the first free port from ``INITIAL_PORT`` upwards. Raises ServerStartError if there is none."""
        with self._taking():
            if self.lease is None:
                self.lease = lease_port(self.settings.connect_host.strip("[]"), self.settings.initial_port)
                if self.watchdog is not None:
                    _watch_lease(self.watchdog, self.lease)
            return self.lease.port

    async def start_browser(self) -> None:
        """Launch Chromium and begin to load the first page, which waits for the server. Raises BrowserError."""
        await self.get_converter().start()

    def get_converter(self) -> Converter:
        """The converter, made on the first call; its browser starts with :meth:`start_browser` or its first use."""
        with self._taking():
            if self.converter is None:
                self.converter = self._make_converter()
            return self.converter

    def _make_converter(self) -> Converter:
        watchdog, chromium = self.watchdog, self.settings.chromium_path
        return Converter(
            # A function, since the port changes if another program takes it while the server starts.
            lambda: self.url,
            headers=self.headers,
            front_end_root=self.engine.front_end_root if self.engine else None,
            server_ready=self.server_ready,
            chromium_path=str(chromium) if chromium else None,
            cache=self._prompt_cache(),
            native=self.settings.native_conversion,
            on_process=(lambda pid, start: watchdog.watch_process(pid, start, group=False)) if watchdog else None,
            on_process_end=watchdog.forget_process if watchdog else None,
            directory=self.browser_directory,
            environment={OWNER_VARIABLE: owner_mark(), TOKEN_VARIABLE: secrets.token_hex(16)},
            route=self.route,
        )

    def _prompt_cache(self) -> PromptCache | None:
        setting = self.settings.prompt_cache
        if setting == "off":
            return None
        return PromptCache(setting if isinstance(setting, Path) else default_directory())

    async def open_client(self) -> ComfyClient:
        """Connect HTTP and WebSocket. Raises ServerConnectionError."""
        self._refuse_if_closed()
        client = self.client or ComfyClient(self.url, headers=self.headers, route=self.route)
        await client.open()
        if self._closed or self.client not in {None, client}:
            # Released meanwhile, or a concurrent call opened its client first.
            await client.aclose()
            self._refuse_if_closed()
        self.client = self.client or client
        return self.client

    def death(self, prompt_id: str | None = None) -> ServerDiedError:
        """The error that says how the owned server ended."""
        supervisor = self.supervisor
        if supervisor is None or supervisor.exit is None:
            # The process runs, so it was reported for its other end: that of the thread that executes prompts.
            problem = "the server's execution thread died: it answers HTTP but runs nothing any more"
            return ServerDiedError(problem, log_tail=supervisor.log_tail() if supervisor else (), prompt_id=prompt_id)
        status = supervisor.exit
        return ServerDiedError(
            f"the server (pid {supervisor.pid}) died: {status}",
            exit_code=status.code,
            signal=status.signal,
            log_tail=supervisor.log_tail(),
            prompt_id=prompt_id,
        )

    async def release_server(self) -> list[str]:
        """Release runs, socket, browser, server and port; keep engine, files and watchdog for the next start.

        Returns the names of the steps that failed; each failure is logged.
        """
        return await release_all(self._server_steps())

    async def release(self) -> list[str]:
        """Release everything, in order, for good. Returns the names of the steps that failed; each is logged."""
        self._closed = True
        steps = self._server_steps()
        # Files go after the server, which may still read them. The journal closes after them, since it lists what
        # could not be deleted. The watchdog is last: until then it takes over if we are killed during the shutdown.
        steps += [
            ReleaseStep("ephemeral files", lambda: in_own_thread(self._delete_files_now), 30),
            ReleaseStep("private folders", lambda: in_own_thread(self._discard_now), 30),
            ReleaseStep("journal", lambda: in_own_thread(self._close_journal_now), 5),
            ReleaseStep("watchdog", lambda: in_own_thread(self._close_watchdog_now), 5),
        ]
        return await release_all(steps)

    def kill_now(self) -> None:
        """Release everything by force, without an event loop: at interpreter exit, or after the loop was closed.

        Safe in any thread. Waits for a thread that is acquiring parts; one that takes too long cleans up by itself.
        Does nothing in a forked child.
        """
        if not self.is_ours:
            return
        # Before the lock: a thread that holds it sees the flag when it is done, even if we stop waiting.
        self._closed = True
        if self._lock.acquire(timeout=_TAKING_SECONDS):
            try:
                self._kill_all()
            finally:
                self._lock.release()

    def _kill_all(self) -> None:
        for name, action in (
            ("server", self._kill_server),
            ("browser", self._kill_converter),
            ("ephemeral files", self._delete_files_now),
            ("private folders", self._discard_now),
            ("journal", self._close_journal_now),
            ("port", self._release_port),
            ("watchdog", self._close_watchdog_now),
        ):
            try:
                action()
            except Exception:  # noqa: BLE001 - the next part must be released whatever this one raised
                _log.exception("emergency cleanup of %s failed", name)
        self._drop_client()

    def _server_steps(self) -> list[ReleaseStep]:
        # The client comes first: it takes our prompts off a server that must still answer. The browser goes before the
        # server too, since its pages would report the server's end as errors.
        return [
            ReleaseStep("runs, socket and HTTP", self._close_client, 10, self._drop_client),
            ReleaseStep("browser", self._close_converter, 20, self._kill_converter),
            ReleaseStep("server", self._stop_server, self.settings.stop_grace + 20, self._kill_server),
            ReleaseStep("port", self._release_port, 5),
        ]

    # Each of these can be repeated: a part is forgotten only once it has ended.

    async def _close_converter(self) -> None:
        if self.converter is not None:
            await self.converter.aclose()
            self.converter = None

    def _kill_converter(self) -> None:
        converter, self.converter = self.converter, None
        if converter is not None:
            converter.kill_now()

    async def _close_client(self) -> None:
        if self.client is not None:
            await self.client.aclose()
            self.client = None

    def _drop_client(self) -> None:
        self.client = None

    async def _stop_server(self) -> None:
        # Cleared first: a page that loads meanwhile must wait for the next server rather than ask this one.
        self.server_ready.clear()
        if self.supervisor is not None:
            await self.supervisor.stop(self.settings.stop_grace)
            self.supervisor = None
            self._release_port()

    def _kill_server(self) -> None:
        supervisor, self.supervisor = self.supervisor, None
        if supervisor is not None:
            supervisor.kill_now()
        self._release_port()

    def _release_port(self) -> None:
        lease, self.lease = self.lease, None
        watchdog = self.watchdog  # kill_now() in another thread may set it to None between the checks below
        if lease is None:
            return
        lease.release()
        if watchdog is not None:
            for path in filter(None, (lease.path, *lease.folders)):
                watchdog.forget_path(path)

    def _delete_files_now(self) -> None:
        if self.files is not None:
            self.files.close()
        self.files = None

    def _discard_now(self) -> None:
        folders = [*(self.engine.private if self.engine is not None else ())]
        if self.engine is not None:
            self.engine.discard()
        if self.probe is not None:
            self.probe.close()
        if self.browser_directory is not None:
            folders.append(self.browser_directory)
            remove_tree(self.browser_directory)
        if self.run_folder is not None:
            folders.append(self.run_folder)
            remove_tree(self.run_folder)
        for path in folders:
            self._forget_private(path.parent.resolve() / path.name)
        self.engine = self.browser_directory = self.probe = self.run_folder = None

    def _forget_private(self, path: Path) -> None:
        watchdog, journal = self.watchdog, self.journal
        if watchdog is not None:
            watchdog.forget_path(path)
        # A folder that could not be removed stays in the journal, so that the next start tries again.
        if journal is not None and journal.is_ours and not path.exists():
            try:
                journal.drop(path)
            except OSError as error:
                _log.debug("the journal still lists %s: %s", path, error)

    def _close_journal_now(self) -> None:
        if self.journal is not None:
            self.journal.close()
        self.journal = None

    def _close_watchdog_now(self) -> None:
        if self.watchdog is not None:
            self.watchdog.close()
        self.watchdog = None


def engine_request(settings: Settings, *, loads_nodes: bool = False) -> EngineRequest:
    """The settings that choose the engine, as discovery takes them."""
    return EngineRequest(
        kind=settings.engine,
        comfyui_path=settings.comfyui_path,
        command_line=settings.api_command_line,
        working_directory=settings.api_working_directory,
        python=settings.comfyui_python,
        emulator_directory=settings.emulator_directory,
        server_arguments=settings.server_arguments,
        environment=settings.server_environment,
        cwd=Path.cwd(),
        environ=os.environ,
        sources=settings.sources,
        loads_nodes=loads_nodes,
    )


def journal_directory() -> Path:
    """The folder in which connectors of this user list their ephemeral files."""
    return Path(platformdirs.user_state_dir("discomfort", appauthor=False)) / "journal"


def _watch_lease(watchdog: Watchdog, lease: PortLease) -> None:
    # Other processes lease ports in the same folder and may have taken over this very lock file by then: the watchdog
    # removes only what is empty, or what nobody holds.
    for path in lease.folders:
        watchdog.watch_path(path, root=path.parent, only_empty=True)
    if lease.path is not None:
        watchdog.watch_path(lease.path, root=lease.path.parent, inode=lease.inode, only_unlocked=True)
