"""The connector for scripts and notebooks without ``await``."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from discomfort._json import JsonObject
from discomfort._system.forks import in_forked_child
from discomfort._system.loop_thread import LoopThread
from discomfort.client.outputs import Output
from discomfort.config import SettingArguments
from discomfort.connector import ComfyConnector
from discomfort.connector.file_upload import Upload
from discomfort.connector.health import HealthReport
from discomfort.connector.payloads import Payload
from discomfort.connector.server_queue import ServerQueue
from discomfort.connector.states import State
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import StateError
from discomfort.history import History
from discomfort.progress import ProgressCallback
from discomfort.sync_run import SyncOutput, SyncRun, SyncRunResult, sync_output, sync_result
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from ssl import SSLContext

    from discomfort.connector.file_upload import UploadContent
    from discomfort.functions.sync_function import SyncFunction
    from discomfort.planning.workflow_plan import WorkflowPlan
    from discomfort.provision.provide_progress import ProvideProgress
    from discomfort.provision.provide_report import ProvideReport
    from discomfort.provision.provider import Consent

_log = logging.getLogger("discomfort.connector")

_claims = threading.Lock()
"""Held while the process's object is looked for or made."""


class ConnectorFace(ABC):
    """The members of :class:`ComfyConnector` that need no event loop, shared by all of its wrappers."""

    @property
    @abstractmethod
    def connector(self) -> ComfyConnector:
        """The connector itself."""

    @property
    def state(self) -> State:
        """See :attr:`ComfyConnector.state`."""
        return self.connector.state

    @property
    def engine(self) -> str:
        """See :attr:`ComfyConnector.engine`."""
        return self.connector.engine

    @property
    def server_address(self) -> str:
        """See :attr:`ComfyConnector.server_address`."""
        return self.connector.server_address

    @property
    def client_id(self) -> str:
        """See :attr:`ComfyConnector.client_id`."""
        return self.connector.client_id

    @property
    def ws_address(self) -> str:
        """See :attr:`ComfyConnector.ws_address`."""
        return self.connector.ws_address

    @property
    def output_directory(self) -> Path | None:
        """See :attr:`ComfyConnector.output_directory`."""
        return self.connector.output_directory

    def release_now(self) -> None:
        """See :meth:`ComfyConnector.release_now`."""
        self.connector.release_now()

    def upload_data(
        self,
        source_path: str | os.PathLike[str],
        folder_type: str = "input",
        subfolder: str | None = None,
        overwrite: bool = False,
        is_ephemeral: bool = False,
    ) -> str:
        """See :meth:`ComfyConnector.upload_data`."""
        return self.connector.upload_data(source_path, folder_type, subfolder, overwrite, is_ephemeral)

    def discard_upload(self, path: str | os.PathLike[str]) -> bool:
        """See :meth:`ComfyConnector.discard_upload`."""
        return self.connector.discard_upload(path)


class SyncConnector(ConnectorFace):
    """A :class:`ComfyConnector` in a thread with an event loop of its own; every call blocks until it is done.

    Works beside a running event loop, as in a notebook. All calls may come from any thread. Ctrl-C during a call
    cancels it, as cancelling the coroutine would::

        with SyncConnector.create() as connector:
            history = connector.run_workflow("workflow.json")
            paths = connector.save_outputs(history, "results")
    """

    _living: ClassVar[Self | None] = None

    def __init__(self, make: Callable[[], Coroutine[Any, Any, ComfyConnector]]) -> None:
        self._thread = LoopThread("discomfort-sync")
        made: list[ComfyConnector] = []

        async def keep() -> ComfyConnector:
            made.append(await make())
            return made[0]

        try:
            self._connector = self._thread.call(keep())
        except BaseException:
            # Ctrl-C may arrive after the connector was made, before the caller has it.
            if made and made[0].state is not State.KILLED:
                self._thread.call(made[0].kill_api())
            self._thread.close()
            raise

    @classmethod
    def create(cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]) -> Self:
        """Start server and browser, as :meth:`ComfyConnector.create`, with its arguments and errors.

        Further calls return the same object, as in a notebook whose cell is run again.
        """
        return cls._create(config_path, settings)

    @classmethod
    def _create(
        cls, config_path: str | os.PathLike[str] | None, settings: SettingArguments, *, loads_nodes: bool = False
    ) -> Self:
        """:meth:`create`. ``loads_nodes`` as in :meth:`ComfyConnector._create`."""

        def make() -> Coroutine[Any, Any, ComfyConnector]:
            return ComfyConnector._create(config_path, settings, loads_nodes=loads_nodes)

        with _claims:
            while (living := cls._living) is not None:
                try:
                    if living._is_alive:
                        living._thread.call(living._again(make))
                        return living
                except StateError:
                    if living._is_alive:
                        raise
                # Another thread may still shut it down; after release_now() its thread still runs.
                living.kill_api()
                cls._living = None
            cls._living = made = cls(make)
            return made

    @classmethod
    def current(cls) -> Self | None:
        """The object that :meth:`create` made, while it is alive. No I/O."""
        return cls._living if cls._living is not None and cls._living._is_alive else None

    @classmethod
    def launch(cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]) -> Self:
        """Start a further server, as :meth:`ComfyConnector.launch`, with its arguments and errors."""
        return cls(lambda: ComfyConnector.launch(config_path, **settings))

    @classmethod
    def attach(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | bool | None = None,
        proxy: str | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> Self:
        """Connect to a server that somebody else runs, as :meth:`ComfyConnector.attach`."""
        return cls(
            lambda: ComfyConnector.attach(
                url, headers=headers, ssl=ssl, proxy=proxy, config_path=config_path, **settings
            )
        )

    def __repr__(self) -> str:
        return f"<SyncConnector {self.state} {self.engine or '-'} {self.server_address}>"

    @property
    def connector(self) -> ComfyConnector:
        """The connector itself; its coroutines run only in this object's loop."""
        return self._connector

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop in which the connector's coroutines run; it belongs to this object's thread."""
        return self._thread.loop

    def run_workflow(
        self,
        payload: Payload,
        use_workflow_json: bool = True,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> History:
        """See :meth:`ComfyConnector.run_workflow`; ``on_progress`` is called in this object's thread."""
        return self._thread.call(
            self._connector.run_workflow(
                payload,
                use_workflow_json,
                on_progress=on_progress,
                timeout=timeout,
                extra_data=extra_data,
                allow_paid=allow_paid,
                api_key=api_key,
            )
        )

    def submit(
        self,
        payload: Payload,
        use_workflow_json: bool = True,
        *,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, UploadContent] | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> SyncRun:
        """See :meth:`ComfyConnector.submit`."""
        run = self._connector.submit(
            payload,
            use_workflow_json,
            values=values,
            files=files,
            timeout=timeout,
            extra_data=extra_data,
            allow_paid=allow_paid,
            api_key=api_key,
        )
        return SyncRun(self._thread.call(run), self._thread)

    def find(self, prompt_id: str) -> SyncRun:
        """See :meth:`ComfyConnector.find`."""
        return SyncRun(self._thread.call(self._connector.find(prompt_id)), self._thread)

    def run(
        self,
        payload: Payload,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, UploadContent] | None = None,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> SyncRunResult:
        """See :meth:`ComfyConnector.run`; the outputs of the result need no ``await``."""
        run = self._connector.run(
            payload,
            values,
            files,
            on_progress=on_progress,
            timeout=timeout,
            extra_data=extra_data,
            allow_paid=allow_paid,
            api_key=api_key,
        )
        return sync_result(self._thread.call(run), self._thread)

    def load(
        self,
        workflow: Payload,
        interface: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
    ) -> SyncFunction:
        """See :meth:`ComfyConnector.load`; the function and its results need no ``await``."""
        from discomfort.functions.sync_function import SyncFunction

        return SyncFunction(self._thread.call(self._connector.load(workflow, interface, name=name)), self._thread)

    def queue(self) -> ServerQueue:
        """See :meth:`ComfyConnector.queue`."""
        return self._thread.call(self._connector.queue())

    def interrupt(self, prompt_id: str | None = None) -> None:
        """See :meth:`ComfyConnector.interrupt`."""
        self._thread.call(self._connector.interrupt(prompt_id))

    def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """See :meth:`ComfyConnector.free`."""
        self._thread.call(self._connector.free(unload_models=unload_models, free_memory=free_memory))

    def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """See :meth:`ComfyConnector.get_prompt_from_workflow`."""
        return self._thread.call(self._connector.get_prompt_from_workflow(workflow))

    def explain(self, workflow: Payload) -> Explanation:
        """See :meth:`ComfyConnector.explain`."""
        return self._thread.call(self._connector.explain(workflow))

    def plan(
        self,
        workflow: Payload,
        values: Mapping[str, Any] | None = None,
        *,
        online: bool = False,
        api_key: str | None = None,
        **named: Any,
    ) -> WorkflowPlan:
        """See :meth:`ComfyConnector.plan`."""
        return self._thread.call(self._connector.plan(workflow, values, online=online, api_key=api_key, **named))

    def provide(
        self,
        plan: WorkflowPlan,
        *,
        yes: bool = False,
        consent: Consent | None = None,
        dry_run: bool = False,
        on_progress: Callable[[ProvideProgress], object] | None = None,
        timeout: float | None = None,
        tokens: Mapping[str, str] | None = None,
        models_directory: str | os.PathLike[str] | None = None,
        allow_private: bool = False,
        extensions: Collection[str] = (),
        any_version: bool = False,
        parallel: int = 4,
        reserve: int = 1 << 30,
    ) -> ProvideReport:
        """See :meth:`ComfyConnector.provide`. ``consent`` and ``on_progress`` are called in the connector's thread."""
        return self._thread.call(
            self._connector.provide(
                plan, yes=yes, consent=consent, dry_run=dry_run, on_progress=on_progress, timeout=timeout,
                tokens=tokens, models_directory=models_directory, allow_private=allow_private, extensions=extensions,
                any_version=any_version, parallel=parallel, reserve=reserve,
            )
        )  # fmt: skip

    def upload(
        self,
        source: UploadContent,
        *,
        name: str | None = None,
        folder_type: str = "input",
        subfolder: str = "",
        overwrite: bool = False,
        ephemeral: bool = False,
    ) -> Upload:
        """See :meth:`ComfyConnector.upload`."""
        return self._thread.call(
            self._connector.upload(
                source,
                name=name,
                folder_type=folder_type,
                subfolder=subfolder,
                overwrite=overwrite,
                ephemeral=ephemeral,
            )
        )

    def edit(self, payload: Payload, *, workflow: Payload | None = None) -> Editor:
        """See :meth:`ComfyConnector.edit`."""
        return self._thread.call(self._connector.edit(payload, workflow=workflow))

    def outputs(self, history: Mapping[str, Any]) -> list[SyncOutput]:
        """See :meth:`ComfyConnector.outputs`; the methods of these outputs need no ``await``."""
        return [sync_output(output, self._thread) for output in self._connector.outputs(history)]

    def read(self, output: Output | SyncOutput) -> bytes:
        """The bytes of one output."""
        return self._thread.call((output.output if isinstance(output, SyncOutput) else output).read())

    def save_outputs(self, history: Mapping[str, Any], directory: str | os.PathLike[str]) -> list[Path]:
        """Save every output file into ``directory``, creating it if missing. Returns the paths, in order."""

        async def save() -> list[Path]:
            return [await output.save(directory) for output in self._connector.outputs(history) if output.filename]

        return self._thread.call(save())

    def health(self) -> HealthReport:
        """See :meth:`ComfyConnector.health`."""
        return self._thread.call(self._connector.health())

    def diagnostics(self) -> JsonObject:
        """See :meth:`ComfyConnector.diagnostics`."""
        return self._thread.call(self._connector.diagnostics())

    def kill_api(self) -> None:
        """Release everything, as :meth:`ComfyConnector.kill_api`, and end the thread.

        Safe to call twice, and from several threads at once. Ctrl-C does not abort the shutdown: it is raised once
        everything is released. Does nothing in a forked child.
        """
        if self._thread.closed:
            return
        try:
            self._thread.call(self._connector.kill_api())
        except StateError:
            _log.debug("another thread has shut down the connector already")
        finally:
            self._thread.close()

    async def _again(self, make: Callable[[], Coroutine[Any, Any, ComfyConnector]]) -> None:
        """Let :meth:`create` check this object, or restart its server. Raises StateError once its end has begun.

        Past this check ``make()`` cannot start a further connector in this loop, which would end along with the thread.
        """
        if not self._is_alive:
            raise StateError("the connector is being shut down")
        await make()

    @property
    def _is_alive(self) -> bool:
        """Whether it can be handed out: it was not shut down, and nobody shuts it down now."""
        return not self._thread.closed and not self._connector._is_ending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_api()


def _renew_claims() -> None:
    """Replace the lock in a forked child: the parent may hold it."""
    global _claims  # noqa: PLW0603
    _claims = threading.Lock()


in_forked_child(_renew_claims)
