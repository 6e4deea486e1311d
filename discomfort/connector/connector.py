"""``ComfyConnector``: one ComfyUI server, started, driven and released."""

# Longer than 400 lines: this is the public class, and most lines are docstrings of its methods.

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, to_thread
from discomfort._system.forks import in_forked_child
from discomfort._system.http_sessions import DIRECT, Route, make_route
from discomfort._tracebacks import without_frames
from discomfort.client.comfy import ComfyClient
from discomfort.client.outputs import Output, collect_outputs
from discomfort.client.upload import upload_blocking
from discomfort.client.value_transfer import ValueTransfer
from discomfort.config import SettingArguments, Settings, load_settings
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Call, Calls
from discomfort.connector.cancellation import CancellationWatch
from discomfort.connector.diagnostics import collect, server_facts
from discomfort.connector.event_log import EventLog
from discomfort.connector.file_upload import Upload, UploadTarget, upload, upload_to_folder
from discomfort.connector.health import Health, HealthReport, StuckWatch
from discomfort.connector.payload_filling import Filling, PayloadFilling
from discomfort.connector.payloads import Payload, load_payload, own_copy, own_extra_data, payload_name, taken
from discomfort.connector.prompts import Prompts
from discomfort.connector.recovery import Recovery, RestartBudget
from discomfort.connector.resources import Resources
from discomfort.connector.run_handle import Run
from discomfort.connector.run_policy import RunPolicy, RunRequest, spending
from discomfort.connector.run_result import RunResult
from discomfort.connector.run_uploads import RunUploads
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.server_queue import ServerQueue, read_queue
from discomfort.connector.shared_uploads import SharedUploads
from discomfort.connector.shutdown import Shutdown
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle, State
from discomfort.connector.submissions import Submission, Submissions, check_prompt_id, interrupted
from discomfort.context.exchange import TOKEN_HEADER, VALUES
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import ServerResponseError, StateError, UploadError
from discomfort.history import History
from discomfort.progress import ProgressCallback
from discomfort.redaction import split_credentials
from discomfort.workflow.edit import Editor
from discomfort.workflow.edited_workflow import EditedWorkflow
from discomfort.workflow.partner_nodes import partner_nodes

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent
    from discomfort.functions.workflow_function import WorkflowFunction
    from discomfort.planning.needs import ValueNeed
    from discomfort.planning.workflow_plan import WorkflowPlan
    from discomfort.provision.provide_progress import ProvideProgress
    from discomfort.provision.provide_report import ProvideReport
    from discomfort.provision.provider import Consent
    from discomfort.workflow.detect import Kind

_log = logging.getLogger("discomfort.connector")

T = TypeVar("T")

_PLANS = 16
"""Plans that can be made again after something was provided."""

_claims = threading.Lock()
"""Held while the process's instance is looked for or made, and only then."""


class ComfyConnector:
    """Starts and owns a ComfyUI server, converts workflows with the real frontend, runs prompts, returns every output.

    :meth:`create` makes one per process; :meth:`attach` makes further ones for servers that somebody else runs.
    All coroutines belong to the event loop in which the connector was created. Any number of runs may be under way at
    once. ``async with`` releases everything at the end::

        async with await ComfyConnector.create() as connector:
            history = await connector.run_workflow("workflow.json")
            for output in connector.outputs(history):
                print(await output.save("results"))
    """

    _instance: ClassVar[ComfyConnector | None] = None

    def __init__(
        self,
        settings: Settings,
        *,
        attach_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        route: Route = DIRECT,
        loads_nodes: bool = False,
    ) -> None:
        """Used by :meth:`create` and :meth:`attach`; starts nothing."""
        self._settings, self._loop = settings, asyncio.get_running_loop()
        self._parts = Resources(settings, attach_url=attach_url, headers=headers, route=route, loads_nodes=loads_nodes)
        self._lifecycle, self._events = Lifecycle(), EventLog()
        self._calls, self._background = Calls(), BackgroundTasks()
        self._values: ValueTransfer | None = None
        self._planned: deque[tuple[WorkflowPlan, Callable[[], Awaitable[WorkflowPlan]]]] = deque(maxlen=_PLANS)
        self._wire(RestartBudget(settings.max_restarts))

    def _wire(self, budget: RestartBudget) -> None:
        parts, lifecycle, calls, background = self._parts, self._lifecycle, self._calls, self._background
        self._recovery = Recovery(
            self._settings.on_server_death, budget, start=self._start, spawn=background.spawn, events=self._events
        )
        self._loss = ServerLoss(parts, lifecycle, self._recovery, calls, background, self._events)
        self._health = Health(parts, self._loss)
        self._stuck_watch = StuckWatch(lambda: parts.client, self._loss.is_stuck, reads_log=not parts.owned)
        self._prompts = Prompts(parts, self._recovery, self._loss, calls, ready=self._ensure_ready)
        self._policy = RunPolicy(
            parts, lifecycle, self._recovery, self._loss, self._prompts,
            CancellationWatch(parts, lifecycle, self._recovery, self._loss, background), calls, self._events,
            ready=self._ensure_ready, watch=lambda: self._stuck_watch.start(background, lifecycle),
        )  # fmt: skip
        self._startup = Startup(
            parts, lifecycle, self._recovery, self._loss, self._health, calls, background,
            self_test=self._test_server, on_first=self._register_exit_handler, on_first_failed=self._forget_instance,
        )  # fmt: skip
        self._submissions = Submissions(
            parts, lifecycle, calls, self._prompts, self._policy, ready=self._ensure_ready,
            watch=lambda: self._stuck_watch.start(background, lifecycle),
        )  # fmt: skip
        self._run_uploads = RunUploads(
            self.upload, self.discard_upload, spawn=background.spawn, are_ephemeral=parts.owned
        )
        self._call_uploads = SharedUploads(
            self.upload, self._run_uploads.delete, self._has_file, are_ephemeral=parts.owned
        )
        self._shutdown = Shutdown(parts, lifecycle, calls, background, self._startup, forget=self._forget_instance)

    # --- factory and lifecycle -------------------------------------------------------------------------------------

    @classmethod
    @without_frames
    async def create(
        cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]
    ) -> ComfyConnector:
        """Start server, browser and socket, run the self-test, and return the ready connector.

        ``config_path`` names a JSON configuration file; ``settings`` are single settings by name in lower case
        (``engine="emulator"``, ``initial_port=9000``) and override environment and file, see
        :class:`discomfort.config.Settings`. Further calls return the same instance; concurrent calls share one start;
        if the instance's server died, it is restarted. Without arguments, the living instance is returned whatever its
        configuration. :meth:`launch` makes further ones.

        Cancellation stops everything that was started, unless another caller waits for the same start.

        Raises:
            FileNotFoundError: ``config_path`` does not exist.
            ConfigurationError: a setting is wrong, or a configured ComfyUI does not exist.
            StateError: an instance with another configuration, or in another running event loop, is alive.
            ServerStartError, ServerStartTimeout, BrowserError, SelfTestError: all are ``RuntimeError``; nothing is left
                running.
        """
        return await cls._create(config_path, settings)

    @classmethod
    async def _create(
        cls, config_path: str | os.PathLike[str] | None, settings: SettingArguments, *, loads_nodes: bool = False
    ) -> ComfyConnector:
        """:meth:`create`. With ``loads_nodes`` an owned server loads our node pack, which orchestration needs.

        An instance that lives stays as it is.
        """
        current = cls.current()
        anything = config_path is None and not settings and current is not None
        wanted = current._settings if anything and current is not None else load_settings(config_path, **settings)
        while True:
            instance = cls._claim(wanted, loads_nodes=loads_nodes)
            if instance._shutdown.begun:
                await instance.kill_api()
                continue
            try:
                await instance._start_for_caller()
            except StateError:
                if not instance._startup.is_abandoned:
                    raise
            else:
                return instance

    @classmethod
    def current(cls) -> ComfyConnector | None:
        """The process's single instance, also while it is starting; ``None`` if there is none. No I/O."""
        return ComfyConnector._instance

    @classmethod
    @without_frames
    async def attach(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | bool | None = None,
        proxy: str | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> ComfyConnector:
        """Connect to a running server at ``url``; ``headers`` are sent with every request, for authentication.

        Credentials in the URL (``https://user:password@host``) are sent as a header too, and never shown. ``ssl`` is an
        ``ssl.SSLContext`` for a certificate that the system does not trust, or ``False`` to verify none. ``proxy`` is
        the URL of an HTTP proxy, such as ``http://user:password@proxy.example:3128``. Both hold for all connections:
        HTTP, WebSocket, uploads, and what the browser loads.

        The connector works like that of :meth:`create`, but is not the process's single instance, and
        :meth:`kill_api` releases only the browser and the connections. Uploads use HTTP. No self-test is run.

        Raises ServerConnectionError if the server does not answer, otherwise as :meth:`create`.
        """
        address, credentials = split_credentials(url)
        connector = cls(
            load_settings(config_path, **settings),
            attach_url=address,
            headers={**credentials, **(headers or {})},
            route=make_route(ssl, proxy),
        )
        await connector._start_for_caller()
        return connector

    @classmethod
    @without_frames
    async def launch(
        cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]
    ) -> ComfyConnector:
        """Start a server of one's own, as :meth:`create` does, that is not the process's single instance.

        For several servers in one process: each has its own port, folders for temporary files and journal. The ports
        follow upwards from ``initial_port``. Servers on one ComfyUI folder share its models, inputs and outputs; choose
        the GPU with ``server_arguments="--cuda-device 1"``. End each with :meth:`kill_api` or ``async with``.

        Cancellation and errors as :meth:`create`.
        """
        return await cls._launch(config_path, settings)

    @classmethod
    async def _launch(
        cls, config_path: str | os.PathLike[str] | None, settings: SettingArguments, *, loads_nodes: bool = False
    ) -> ComfyConnector:
        """:meth:`launch`. ``loads_nodes`` as in :meth:`_create`."""
        connector = cls(load_settings(config_path, **settings), loads_nodes=loads_nodes)
        await connector._start_for_caller()
        return connector

    async def kill_api(self) -> None:
        """Stop the server and release everything: runs, browser, connections, processes, ephemeral files, port.

        Runs under way end with ExecutionInterrupted. Safe to call at any time and any number of times. Returns when
        everything is gone: after a minute at most, if the server ignores SIGTERM and the browser hangs. A step that
        fails is logged and the others still run. Cancellation does not stop the shutdown.
        """
        await self._shutdown.close()

    def release_now(self) -> None:
        """Kill server and browser and delete ephemeral files at once: for signal handlers, or when the loop hangs.

        Needs no event loop and is safe in any thread, also during the start, which then raises StateError. Calls under
        way raise as with :meth:`kill_api`, once the event loop runs again. Prefer :meth:`kill_api` wherever you can
        await. Does nothing in a forked child.
        """
        self._sync_cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill_api()

    # --- properties ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``uninit``, ``initializing``, ``ready``, ``error`` or ``killed``."""
        return self._lifecycle.state

    @property
    def server_address(self) -> str:
        """HTTP URL of the server, such as ``http://127.0.0.1:8188``."""
        return self._parts.url

    @property
    def ws_address(self) -> str:
        """WebSocket URL with the current client id, such as ``ws://127.0.0.1:8188/ws?clientId=…``."""
        client = self._parts.client
        return client.ws_url if client else "ws" + self._parts.url.removeprefix("http") + "/ws"

    @property
    def client_id(self) -> str:
        """Client id (UUID) of the current socket. Each socket has its own, since ComfyUI serves one socket per id."""
        client = self._parts.client
        return client.client_id if client else ""

    @property
    def engine(self) -> str:
        """The engine that runs the prompts: ``comfyui``, ``emulator``, or ``attached``; empty before the start."""
        if not self._parts.owned:
            return "attached"
        return self._parts.engine.kind if self._parts.engine else ""

    @property
    def output_directory(self) -> Path | None:
        """The folder to which an owned server saves outputs; ``None`` before the start and for attached servers."""
        engine = self._parts.engine
        return None if engine is None else Path(engine.folders.output)

    def __repr__(self) -> str:
        return f"<ComfyConnector {self.state} {self.engine or '-'} {self.server_address}>"

    # --- workflows -------------------------------------------------------------------------------------------------

    @without_frames
    async def run_workflow(
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
        """Run a workflow or a prompt to its end and return its history, ``{prompt_id: {"prompt", "outputs", …}}``.

        ``payload`` is workflow JSON (``use_workflow_json=True``) or a prompt, as an object, as JSON text, or as the
        path of a JSON file. A payload of the other kind is recognised and runs too, with a line in the log. A workflow
        is also sent in ``extra_data``, so that saved images contain it, as they do from the UI. ``extra_data`` is sent
        along with the prompt. ``on_progress`` receives each :data:`discomfort.progress.ProgressEvent`, in order.
        ``timeout`` is in seconds and covers conversion, queue and execution; without it a run has no time limit.

        Cancelling the awaiting task, or the timeout, takes this prompt off the queue, or interrupts it if it runs, and
        no other prompt. A server that died before the call is restarted. The setting ``on_server_death`` decides what
        happens to runs under way when the server dies; ``on_out_of_memory`` may run a prompt once more. If a run is
        resubmitted, its events start again from the beginning; ``Done`` is still reported once, at the end.

        Nodes that cost money, ComfyUI's partner nodes, run only with ``allow_paid=True``. ``api_key`` is their key,
        from platform.comfy.org; it goes with prompts that have such nodes, and is kept nowhere. By default both are
        those of the settings, as in ``DISCOMFORT_API_KEY``.

        Raises:
            PayloadError: neither workflow nor prompt. UnsafePromptError: the prompt would crash the server.
            MissingNodesError: the server lacks node types. FileNotFoundError: no such file.
            PaidNodesError: nodes cost money, and the call does not allow that.
            ValidationError: the server refused the prompt or a part of it.
            ExecutionError: a node raised. OutOfMemoryError: it ran out of memory. ExecutionInterrupted: somebody
                interrupted the run. PromptLostError: the server no longer knows the prompt.
            RunTimeout: ``timeout`` passed. ServerDiedError, ServerConnectionError: the server died or is unreachable.
            FatalPromptError, RestartLimitError, ResultLostError: with ``restart_and_resubmit``, this run could not be
                resubmitted.
            ConversionError, ConversionTimeout, BrowserError: the conversion failed.
        """
        spent = spending(self._settings, allow_paid=allow_paid, api_key=api_key)
        extra = own_extra_data(extra_data)
        submission = Submission(taken(payload), use_workflow_json, on_progress, timeout, extra, spent)
        return await self._submissions.make(submission, observed=False).perform()

    @without_frames
    async def submit(
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
    ) -> Run:
        """Submit a workflow or prompt, and return the :class:`Run` as soon as the server has it.

        ``values`` and ``files`` are those of :meth:`run`; the other arguments and the policies are those of
        :meth:`run_workflow`. ``timeout`` still covers the whole run. What prevents the submission is raised here, what
        happens later by ``await run``. :meth:`kill_api` ends the run.

        Cancellation takes the prompt off the server. Raises as :meth:`run`.
        """
        return await self._submit_filled(
            self._filling(values, files, allow_paid), taken(payload), use_workflow_json=use_workflow_json,
            timeout=timeout, extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
        )  # fmt: skip

    @without_frames
    async def find(self, prompt_id: str) -> Run:
        """The run of a prompt that the server has: queued, running, or ended and still in its history.

        For prompts that an earlier process, a lost connection or another program submitted. The events of those are
        not received; :meth:`Run.events` gives position, start and end as polls find them. Closing the connector leaves
        such a prompt on the server; :meth:`Run.cancel` does not. A run that this
        connector submitted is found with its events.

        Raises PromptLostError if the server does not know the prompt, PayloadError, ServerConnectionError, StateError.
        """
        return Run(await self._submissions.find(prompt_id), self.outputs)

    @without_frames
    async def run(
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
    ) -> RunResult:
        """Set inputs, run the workflow or prompt to its end, and return its outputs::

            result = await connector.run(
                "workflow.json", {"KSampler.seed": 7, "Positive.text": "a fox"}, files={"LoadImage.image": "photo.jpg"}
            )
            await result.save("results")

        ``values`` are set as by :meth:`Editor.set`, and on the prompt where their place in a workflow is uncertain;
        each is compared with the prompt, so that what is accepted arrives. ``files`` are uploaded first, as by
        :meth:`upload`, under names of their own; on an owned server they are deleted after the run. The other arguments
        are those of :meth:`run_workflow`, and so is the cancellation.

        Raises InputSelectorError before anything is uploaded, otherwise as :meth:`run_workflow` and :meth:`upload`.
        """
        return await self._run_filled(
            self._filling(values, files, allow_paid),
            taken(payload),
            on_progress=on_progress,
            timeout=timeout,
            extra_data=extra_data,
            allow_paid=allow_paid,
            api_key=api_key,
        )

    @without_frames
    async def load(
        self,
        workflow: Payload,
        interface: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
    ) -> WorkflowFunction:
        """Load a workflow or prompt as a function of its named inputs, which gives its named outputs::

            upscale = await connector.load("upscale.json")
            result = await upscale(image="photo.jpg", scale=4)
            await result.image.save("out")

        The names come from ``interface``, a sidecar: a mapping, or the path of a YAML or JSON file (without it, the
        file ``upscale.discomfort.yaml`` beside the workflow, if there is one); then from ports, from ComfyUI's App
        Mode, and from nodes of other packs that declare inputs. ``name`` is the function's name in messages; that of
        the file by default. The workflow is converted here, and again only if the server's nodes change.

        Raises as :meth:`get_prompt_from_workflow`, and PayloadError for a sidecar of another form.
        """
        from discomfort.functions.loading import load_function

        return await load_function(self, workflow, interface=interface, name=name)

    async def _run_filled(
        self,
        filling: Filling,
        payload: Payload | None = None,
        *,
        on_progress: ProgressCallback | None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> RunResult:
        """Run what ``filling`` makes of ``payload`` to its end. Raises as :meth:`run`."""
        spent = spending(self._settings, allow_paid=allow_paid, api_key=api_key)
        submission = Submission(payload or {}, None, on_progress, timeout, own_extra_data(extra_data), spent, filling)
        run = self._submissions.make(submission, observed=False)
        history = await run.perform()
        return RunResult(run.prompt_id, self.outputs(history), run.seconds, history)

    async def _submit_filled(
        self,
        filling: Filling,
        payload: Payload | None = None,
        *,
        use_workflow_json: bool | None = None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Run:
        """Submit what ``filling`` makes of ``payload``. Raises as :meth:`submit`."""
        spent, extra = spending(self._settings, allow_paid=allow_paid, api_key=api_key), own_extra_data(extra_data)
        submission = Submission(payload or {}, use_workflow_json, None, timeout, extra, spent, filling)
        run = self._submissions.make(submission, observed=True)
        run.begin()
        await run.wait_announced()
        return Run(run, self.outputs)

    async def _upload_for_call(self, source: Path | bytes, name: str, subfolder: str) -> Upload:
        """Have a file on the server until :meth:`_discard_after_call`. Raises as :meth:`upload`."""
        return await self._call_uploads.take(source, name, subfolder)

    async def _discard_after_call(self, made: Upload) -> None:
        """Delete such a file where the server is owned and no other call needs it. Never raises."""
        await self._call_uploads.leave(made)

    def _filling(
        self, values: Mapping[str, Any] | None, files: Mapping[str, UploadContent] | None, allow_paid: bool | None
    ) -> PayloadFilling:
        async def check(graph: JsonObject) -> None:
            self._refuse_paid(graph, await self._node_definitions(), allow_paid=allow_paid)
            if isinstance(graph, EditedWorkflow) and any(one.deferred for one in graph.sets):
                await self._prompts.from_workflow(graph)

        return PayloadFilling(own_copy(values or {}), files, edit=self.edit, uploads=self._run_uploads, check=check)

    def _refuse_paid(self, graph: JsonObject, definitions: Mapping[str, Any], *, allow_paid: bool | None) -> None:
        """Raise PaidNodesError if a workflow or prompt has nodes that cost money, and may not run them."""
        spending(self._settings, allow_paid=allow_paid).extra_data(None, partner_nodes(graph, definitions))

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """Convert workflow JSON to the API prompt, exactly as the installed ComfyUI frontend does.

        Makes up to three attempts: on a loaded page, in a new context, in a new browser. ``workflow`` may also be JSON
        text or a path. Safe to cancel.

        Raises PayloadError (not a workflow), MissingNodesError (all missing types), ConversionTimeout (a
        ``TimeoutError``), ConversionError, BrowserError.
        """
        workflow = taken(workflow)
        async with self._call("get_prompt_from_workflow"):
            await self._ensure_ready()
            return await self._prompts.from_workflow(workflow)

    async def explain(self, workflow: Payload) -> Explanation:
        """Convert a workflow and report for each node what the conversion did with it, and which path converted it.

        Nodes of missing types are listed instead of raising. Otherwise raises as :meth:`get_prompt_from_workflow`, and
        PayloadError for a prompt.
        """
        workflow = taken(workflow)
        async with self._call("explain"):
            await self._ensure_ready()
            return await self._prompts.explain(workflow)

    @without_frames
    async def plan(
        self,
        workflow: Payload,
        values: Mapping[str, Any] | None = None,
        *,
        online: bool = False,
        api_key: str | None = None,
        **named: Any,
    ) -> WorkflowPlan:
        """What a workflow or prompt needs on this server, and what of it is missing. Nothing is run or fetched::

            plan = await connector.plan("workflow.json")
            print(plan)                             # models with folder and URL, packs, input files, wrong values, …
            if not plan.is_ready: …

        ``values`` are set first, by selector, as by :meth:`run`; here a wrong one is in the plan, with the nearest that
        is allowed. ``named`` are inputs of the interface, as for a call of :meth:`load`. A workflow with unknown node
        types is planned as far as possible. Only the server is asked; with ``online`` the hosts of missing models too,
        for size, digest, and whether they are gated: by HEAD requests to the addresses in the workflow, without
        credentials. ``api_key`` only says that there is one, for paid nodes.

        Safe to cancel. Raises PayloadError (neither a workflow nor a prompt), FileNotFoundError, InputSelectorError
        (no such input), ServerConnectionError, ServerResponseError, StateError; with ``named`` also as :meth:`load`.
        """
        workflow = taken(workflow)
        if named:
            function = (await self.load(workflow)).with_options(api_key=api_key)
            return await function.plan({**own_copy(values or {}), **named})
        async with self._call("plan"):
            kind, graph = await load_payload(workflow)
        name, given = payload_name(workflow), own_copy(values or {})
        return await self._plan(kind, graph, name, given, online=online, api_key=api_key)

    async def _plan(
        self,
        kind: Kind,
        graph: JsonObject,
        name: str,
        values: Mapping[str, Any],
        *,
        brought: Collection[str] = (),
        wrong: Sequence[ValueNeed] = (),
        online: bool = False,
        api_key: str | None = None,
    ) -> WorkflowPlan:
        """The plan of a graph with these values; inputs in ``brought`` get files, ``wrong`` is in the plan."""
        from discomfort.connector.server_view import ServerView
        from discomfort.planning import remote_facts
        from discomfort.planning.planner import Planner, PlanOrder

        has_key = spending(self._settings, api_key=api_key).api_key is not None
        order = PlanOrder(kind, graph, name, values, frozenset(brought), tuple(wrong), has_key)
        async with self._call("plan"):
            await self._ensure_ready()
            look_up = remote_facts.look_up if online else None
            plan = await Planner(ServerView(self._parts, self._prompts), order, look_up).make()
        again = partial(
            self._plan, kind, graph, name, values, brought=brought, wrong=wrong, online=online, api_key=api_key
        )
        self._planned.append((plan, again))
        return plan

    @without_frames
    async def provide(
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
        """Fetch the models and install the node packs that a plan lacks, with consent, and say what was done::

            plan = await connector.plan("workflow.json")
            print(await connector.provide(plan, dry_run=True))      # what would be done
            report = await connector.provide(plan, yes=True)

        Nothing is fetched or installed unless ``yes`` is true, or ``consent``, a plain or ``async`` function, returns
        ``True`` for the :class:`~discomfort.provision.proposal.Proposal`: it has host, size, hash and target of each
        file. ``dry_run`` needs no consent.

        Models go into the server's folder for their kind, ``parallel`` at once, and continue where an earlier call, or
        a killed process, stopped. Size and hash are checked; a file of other content is never replaced; ``reserve``
        bytes of the disk stay free. ``tokens`` are by host, such as ``{"huggingface.co": "hf_…"}``; without them those
        of the environment count (``HF_TOKEN``, ``CIVITAI_API_TOKEN``, ``DOWNLOAD_TOKEN_<HOST>``), then the keyring. A
        token goes only to its host, also after redirects. Only http and https addresses of the internet are asked,
        unless ``allow_private`` is true, and only files with the usual endings of models, or one of ``extensions``.

        Packs are installed by ComfyUI's manager or comfy-cli if they are there, else cloned with git at the wanted
        version (``any_version``: else at the newest), with their requirements into the server's Python. Then the server
        is started again, and without the new packs if it does not start with them. Their code may do all that you may.

        On an attached server no packs are installed, and models only if this machine has its folder of models, which
        ``models_directory`` names. ``timeout`` in seconds is for the models; what has arrived is kept. Cancellation
        keeps it too, and ends the programs that install packs. ``on_progress`` is called with each event.

        Raises ConsentError (nothing was done); ProvideError, when all was tried, with the errors of what failed and the
        report; ConfigurationError, ServerConnectionError, StateError.
        """
        from discomfort.connector.provide_target import ProvideTarget
        from discomfort.connector.server_view import ServerView
        from discomfort.provision.provider import ProvideOptions, Provider

        options = ProvideOptions(
            timeout=timeout, tokens=tokens, allow_private=allow_private, extensions=extensions, any_version=any_version,
            models_directory=None if models_directory is None else Path(models_directory),
            parallel=parallel, reserve=reserve,
        )  # fmt: skip
        async with self._call("provide"):
            await self._ensure_ready()
            view = ServerView(self._parts, self._prompts)
            target = ProvideTarget(
                self._parts, self._lifecycle, self._startup, self._loss, self._client, view,
                lambda: self._plan_again(plan),
            )  # fmt: skip
            provider = Provider(target, plan, options, on_progress)
            return await provider.run(yes=yes, consent=consent, dry_run=dry_run)

    async def _plan_again(self, plan: WorkflowPlan) -> WorkflowPlan | None:
        """The plan of the same workflow now; ``None`` for one that this connector did not make, or long ago."""
        for known, make in self._planned:
            if known is plan or (plan.prompt is not None and known.prompt is plan.prompt):
                return await make()
        return None

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """Every output in a history that :meth:`run_workflow` returned, in the order of the history. No I/O.

        Each :class:`~discomfort.client.outputs.Output` knows its node (id, title, class) and kind, and is read with
        ``await output.read()``, ``.image()`` or ``.save(directory)`` while the server runs.
        """
        client = self._parts.client
        return collect_outputs(dict(history), client.rest if client else None)

    async def edit(self, payload: Payload) -> Editor:
        """An editor for a workflow or prompt that knows the server's node definitions: ``.set("KSampler.seed", 42)``.

        It changes a copy: run ``editor.payload``, which knows what was set in it. When a workflow is converted, each
        value is compared with the prompt. Where the frontend reads the widgets from other places than its node's class
        has them, the values are set on the prompt of the workflow as it was before; where that is not exact,
        InputSelectorError says what stands in the way. Raises PayloadError, ServerConnectionError.
        """
        payload = taken(payload)
        async with self._call("edit"):
            await self._ensure_ready()
            _, graph = await load_payload(payload)
            return Editor(graph, await self._prompts.with_server(lambda: self._client().shared_definitions()))

    # --- the server's queue ----------------------------------------------------------------------------------------

    async def queue(self) -> ServerQueue:
        """The ids of the prompts that the server runs and has queued, whoever submitted them.

        Raises ServerConnectionError, ServerResponseError, StateError.
        """
        async with self._call("queue"):
            await self._ensure_ready()
            return await self._prompts.with_server(lambda: read_queue(self._client().rest))

    async def interrupt(self, prompt_id: str | None = None) -> None:
        """Interrupt a prompt if it runs; without an id whatever runs, whoever submitted it.

        Queued prompts stay; :meth:`Run.cancel` takes one off. Returns at once: a node ends when it notices. Its run
        raises ExecutionInterrupted. Raises ServerConnectionError, ServerResponseError, StateError.
        """
        if prompt_id is not None:
            check_prompt_id(prompt_id)
        async with self._call("interrupt"):
            await self._ensure_ready()
            rest = self._client().rest
            await self._prompts.with_server(
                rest.interrupt_any if prompt_id is None else lambda: rest.interrupt(prompt_id)
            )

    async def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """Ask the server to unload its models and to drop the results that it has cached, for all of its users.

        Returns at once; the server does it before its next prompt. Raises ServerConnectionError,
        ServerResponseError, StateError.
        """
        async with self._call("free"):
            await self._ensure_ready()
            rest = self._client().rest
            await self._prompts.with_server(lambda: rest.free(unload_models=unload_models, free_memory=free_memory))

    # --- health ----------------------------------------------------------------------------------------------------

    async def health(self) -> HealthReport:
        """The problem of each part, ``""`` if it has none: ``{"server process": "", "browser": "does not run"}``.

        The dictionary also has ``ok``, whether all parts work, and ``problems``, those that do not.

        Cheap enough to call every second: one small request on an open connection, 1 to 2 ms, and at most 5 s
        if the server does not answer. A silent server is not dead: it may be loading a model.
        Browser and WebSocket are restarted automatically at their next use.
        """
        return await self._health.examine()

    async def diagnostics(self) -> JsonObject:
        """Everything that a bug report should contain, as a JSON object.

        Versions, the last state changes with their times, settings with their sources, engine, processes (memory, CPU
        time, open files), browser, pending runs, the last 200 events, the end of the server's log, free disk space.
        Secrets are removed: headers, credentials in URLs and command lines, the environment. Prompts and outputs are
        not included. Works in every state; takes some milliseconds, or 2 s if the server does not answer.
        """
        server = await server_facts(self._parts)
        parts, story = self._parts, (self._lifecycle, self._recovery, self._events)
        return await to_thread(collect, parts, *story, server)

    # --- files -----------------------------------------------------------------------------------------------------

    def upload_data(
        self,
        source_path: str | os.PathLike[str],
        folder_type: str = "input",
        subfolder: str | None = None,
        overwrite: bool = False,
        is_ephemeral: bool = False,
    ) -> str:
        """Copy a file into a folder of the server and return its full path. Synchronous; safe in any thread.

        Blocks until the copy is complete; on an attached server, for the whole transfer. In a coroutine, await
        :meth:`upload` instead, or the event loop and every run in it stop for that time.

        ``folder_type`` is ``input``, ``output``, ``temp`` or ``models`` (which needs ``subfolder``, such as
        ``checkpoints``). ``is_ephemeral`` files are deleted by :meth:`kill_api`, and after a crash by the next start.
        The copy is atomic, uses constant memory, and shares blocks if the file system supports that.

        A prompt may name a file in a subfolder of ``input`` as ComfyUI does, ``subfolder/name``. The bare name works
        too if the input folder itself has no such file and the connector uploaded that name into one subfolder only.

        On an attached server the file is sent over HTTP, and the return value is the name that a node such as
        ``LoadImage`` takes. ``models`` and ``is_ephemeral`` are refused: ComfyUI's HTTP API has no call for them.

        Raises FileNotFoundError, FileExistsError (``overwrite=False``), UploadError (a ``ValueError``), StateError.
        """
        if self.state is State.KILLED:
            raise StateError("the connector was shut down; create a new one before upload_data()")
        if not self._parts.owned:
            if is_ephemeral:
                raise UploadError("is_ephemeral needs an owned server: files on an attached one cannot be deleted")
            return upload_blocking(
                self.server_address, self._parts.headers, Path(source_path), folder_type, subfolder or "", overwrite,
                route=self._parts.route,
            )  # fmt: skip
        target = UploadTarget(folder_type, subfolder or "", overwrite, is_ephemeral)
        return upload_to_folder(self._parts, self._policy.uploads, source_path, target)

    async def upload(
        self,
        source: UploadContent,
        *,
        name: str | None = None,
        folder_type: str = "input",
        subfolder: str = "",
        overwrite: bool = False,
        ephemeral: bool = False,
    ) -> Upload:
        """Upload a file, bytes, a binary file object or a PIL image, without blocking the event loop.

        The awaitable form of :meth:`upload_data`, the same for owned and attached servers: the result's ``value`` is
        what a node's input takes, ``path`` the full path on an owned server. ``name`` is the file's name on the
        server, required for bytes and file objects. Uses constant memory; a file object is read from its current
        position.

        Cancellation stops the wait; on an owned server the copy is still completed in its thread.

        Raises FileNotFoundError, UploadError, StateError; on an owned server FileExistsError (``overwrite=False``); on
        an attached one, which gives the file another name instead, ServerConnectionError and ServerResponseError.
        """
        async with self._call("upload"):
            self._lifecycle.refuse_if_ending()
            target = UploadTarget(folder_type, subfolder, overwrite, ephemeral)
            return await upload(self._parts, self._policy.uploads, source, target, name)

    def discard_upload(self, path: str | os.PathLike[str]) -> bool:
        """Delete one ephemeral upload before :meth:`kill_api`. Returns whether it was deleted. Safe in any thread.

        For long-running programs: the file is removed from memory and journal too. A file that was changed since its
        upload, is not ephemeral or is not ours is kept, and the result is ``False``. Raises OSError.
        """
        files, engine = self._parts.files, self._parts.engine
        if files is None or not files.discard(path):
            return False
        if engine is not None:
            self._policy.uploads.forget(Path(path), engine.folders.input)
        return True

    # --- documented internals --------------------------------------------------------------------------------------

    async def _ensure_initialized(self) -> None:
        """Make the connector ready: validate the parts, drop stale ones, start missing ones."""
        await self._startup.start()

    async def _validate_resources(self) -> bool:
        """Whether process, browser, socket and HTTP all work; a part that does not is logged once.

        Cheap enough to call every second: one small request on an open connection, 1 to 2 ms.
        """
        return await self._health.validate()

    async def _init_playwright(self) -> None:
        """Launch headless Chromium, installing it if it is missing, and begin to load the first page."""
        await self._parts.start_browser()

    def _find_available_port(self) -> int:
        """Lease and return the first free port from ``INITIAL_PORT`` upwards. Raises ServerStartError."""
        return self._parts.take_port()

    async def _start_api(self) -> None:
        """Start the server and wait until it answers. Raises ServerStartError, ServerStartTimeout.

        On an attached server: check that it answers. Raises ServerConnectionError.
        """
        await self._startup.start_server()

    async def _is_api_running(self) -> bool:
        """Whether the server answers HTTP within a second (five where it is attached, over a network)."""
        return await self._health.answers()

    async def _restart_browser(self) -> None:
        """Close the browser, by force if necessary, and launch a new one. Raises BrowserError."""
        await self._parts.get_converter().restart_browser()

    async def _attempt_workflow_to_prompt_conversion(self, workflow: JsonObject) -> JsonObject:
        """Convert in a new browser context and page, closed afterwards. Raises ConversionError."""
        return await self._parts.get_converter().attempt_isolated(workflow)

    async def _execute_prompt_and_wait(self, prompt: JsonObject) -> History:
        """Queue a prompt, wait for its end, return its history. Raises as :meth:`run_workflow` does."""
        async with self._calls.open(interrupted) as call:
            return await self._policy.run(RunRequest(own_copy(prompt), call=call))

    async def _test_server(self) -> bool:
        """Run the self-test workflow through conversion, execution and result; ``False`` is explained in the log."""
        return await self._startup.run_self_test(self._prompts, self._policy)

    @property
    def _has_token(self) -> bool:
        """Whether there is a token for the routes of our nodes."""
        return self._settings.token is not None

    async def _with_values(self, work: Callable[[ValueTransfer], Awaitable[T]]) -> T:
        """Do something with the values that the server has. It ends as calls do. Raises StateError without a token."""
        async with self._call("run"):
            await self._ensure_ready()
            return await self._prompts.with_server(lambda: work(self._transfer()))

    def _transfer(self) -> ValueTransfer:
        rest, token = self._client().rest, self._settings.token
        if token is None:
            raise StateError("there is no token for the values of the server")
        if self._values is None or self._values.rest is not rest:
            self._values = ValueTransfer(rest, VALUES, {TOKEN_HEADER: token.get_secret_value()})
        return self._values

    async def _node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The server's ``/object_info``, which is not to be changed; ``fresh``: fetched now.

        Empty if the server does not have it. Raises ServerConnectionError, StateError.
        """
        async with self._call("run"):
            await self._ensure_ready()
            if fresh:
                self._client().forget_definitions()
            try:
                return await self._prompts.with_server(lambda: self._client().shared_definitions())
            except ServerResponseError as error:
                _log.warning("ports have no types, since there are no node definitions: %s", error.problem)
                return {}

    async def _check_prompt(
        self, prompt: JsonObject, definitions: JsonObject, *, allow_paid: bool | None = None
    ) -> None:
        """Raises what a run of the prompt raises before it is sent, by these definitions; empty if there are none.

        PayloadError (UnsafePromptError, MissingNodesError, PaidNodesError), ValidationError, ServerConnectionError,
        StateError.
        """
        async with self._call("run"):
            await self._ensure_ready()
            named = self._policy.with_upload_names(prompt, definitions)
            await self._prompts.with_server(lambda: self._client().check_prompt(named, definitions or None))
            self._refuse_paid(named, definitions, allow_paid=allow_paid)

    async def _has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``.

        Raises ServerConnectionError, ServerResponseError, StateError.
        """
        async with self._call("run"):
            await self._ensure_ready()
            return await self._prompts.with_server(lambda: self._client().rest.has_file(name, subfolder, folder))

    async def _ensure_fresh_websocket(self) -> None:
        """Replace the socket by one with a new client id. Runs under way continue. Raises ServerConnectionError."""
        if self._parts.client is None:
            await self._parts.open_client()
        else:
            await self._parts.client.refresh_socket()

    def _delete_data(self) -> None:
        """Delete all ephemeral uploads; what cannot be deleted is logged."""
        if self._parts.files is not None:
            self._parts.files.delete_ephemeral()

    # --- start and shutdown ----------------------------------------------------------------------------------------

    async def _ensure_ready(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise StateError("the connector belongs to another event loop; await it there, or use SyncConnector")
        await self._startup.ready()

    async def _start(self) -> None:
        await self._startup.start()

    def _call(self, name: str) -> AbstractAsyncContextManager[Call]:
        """Wraps a public call other than a run: a shutdown makes it raise StateError wherever it waits."""
        return self._calls.open(lambda: StateError(f"the connector was shut down during {name}"))

    def _client(self) -> ComfyClient:
        if self._parts.client is None:
            raise StateError(f"the connector is {self.state}, it has no connection to a server")
        return self._parts.client

    @classmethod
    def _claim(cls, wanted: Settings, *, loads_nodes: bool) -> ComfyConnector:
        """The process's instance, made on demand. No await and one thread at a time, so that only one is ever made."""
        with _claims:
            return cls._claim_alone(wanted, loads_nodes=loads_nodes)

    @classmethod
    def _claim_alone(cls, wanted: Settings, *, loads_nodes: bool) -> ComfyConnector:
        instance = ComfyConnector._instance
        if instance is not None and instance._loop.is_closed():
            # Its tasks are gone with the loop, but server and browser still run.
            _log.warning("releasing a connector whose event loop was closed without kill_api()")
            instance._sync_cleanup()
            instance = None
        if instance is None:
            instance = ComfyConnector._instance = cls(wanted, loads_nodes=loads_nodes)
        elif instance._loop is not asyncio.get_running_loop():
            raise StateError(
                "a connector is alive in another event loop of this process; await its kill_api() there first, "
                "or get it with ComfyConnector.current()"
            )
        elif not instance._shutdown.begun and instance._settings != wanted:
            raise StateError(
                "a connector with another configuration is alive in this process; await its kill_api() first, "
                "or use ComfyConnector.attach() for further servers"
            )
        return instance

    async def _start_for_caller(self) -> None:
        """Start. If cancelled just as the start succeeded, release the connector, since no caller receives it."""
        try:
            await self._start()
            self._refuse_if_released()
        except asyncio.CancelledError:
            if self.state is State.READY and self._startup.is_unclaimed:
                await finish(self.kill_api())
            raise
        except StateError:
            await self._shutdown.wait_released()
            raise
        self._startup.handed_out = True

    def _sync_cleanup(self) -> None:
        """Kill the server and the browser and delete ephemeral files, without an event loop. For ``atexit``."""
        self._shutdown.close_now()

    @property
    def _is_ending(self) -> bool:
        """Whether it was shut down, or is being shut down, which its state does not tell yet."""
        return self._lifecycle.ending

    def _refuse_if_released(self) -> None:
        if self.state is State.KILLED:
            raise StateError("the connector was released while it started")

    def _register_exit_handler(self) -> None:
        atexit.register(self._sync_cleanup)

    def _forget_instance(self) -> None:
        atexit.unregister(self._sync_cleanup)
        if ComfyConnector._instance is self:
            ComfyConnector._instance = None


def _forget_in_child() -> None:
    """Drop a forked child's copy of the instance: the server is the parent's, and the child may create its own."""
    global _claims  # noqa: PLW0603 - the parent may have held it
    _claims = threading.Lock()
    ComfyConnector._instance = None


in_forked_child(_forget_in_child)
