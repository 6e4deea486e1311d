"""``ComfyConnector``: one ComfyUI server, started, driven and released."""

# Longer than 400 lines: this is the public class, and most lines are docstrings of its methods.

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort._system.http_sessions import DIRECT, Route, make_route
from discomfort._tracebacks import without_frames
from discomfort.client.outputs import Output
from discomfort.client.value_transfer import ValueTransfer
from discomfort.config import SettingArguments, Settings, load_settings
from discomfort.connector.argument_checks import check_api_key, check_flag, check_mapping, check_sidecar, check_text
from discomfort.connector.creation import SingleInstance
from discomfort.connector.diagnostics import collect, server_facts
from discomfort.connector.file_upload import Upload, UploadTarget, upload_blocking
from discomfort.connector.health import HealthReport
from discomfort.connector.payloads import Payload, own_copy, taken
from discomfort.connector.resources import Resources
from discomfort.connector.run_handle import Run
from discomfort.connector.run_policy import RunRequest
from discomfort.connector.run_result import RunResult
from discomfort.connector.server_queue import ServerQueue, read_queue
from discomfort.connector.states import State
from discomfort.connector.submissions import check_prompt_id, interrupted
from discomfort.connector.wiring import Wiring
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import StateError
from discomfort.history import History
from discomfort.progress import ProgressCallback
from discomfort.redaction import split_credentials
from discomfort.workflow.edit import Editor

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent
    from discomfort.functions.workflow_function import WorkflowFunction
    from discomfort.planning.workflow_plan import WorkflowPlan
    from discomfort.provision.provide_progress import ProvideProgress
    from discomfort.provision.provide_report import ProvideReport
    from discomfort.provision.provider import Consent

_log = logging.getLogger("discomfort.connector")

T = TypeVar("T")


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

    _single: ClassVar[SingleInstance[ComfyConnector]] = SingleInstance()

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
        self._settings = settings
        self._parts = Resources(settings, attach_url=attach_url, headers=headers, route=route, loads_nodes=loads_nodes)
        self._wired = wired = Wiring(
            self._parts, self_test=self._test_server, on_first=self._register_exit_handler, forget=self._forget_instance
        )
        self._lifecycle, self._recovery, self._events = wired.lifecycle, wired.recovery, wired.events
        self._calls, self._prompts, self._policy, self._health = wired.calls, wired.prompts, wired.policy, wired.health
        self._startup, self._shutdown, self._creation = wired.startup, wired.shutdown, wired.creation
        self._server, self._runs, self._plans = wired.server, wired.runs, wired.plans

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
        return await cls._single.get(wanted, lambda: cls(wanted, loads_nodes=loads_nodes))

    @classmethod
    def current(cls) -> ComfyConnector | None:
        """The process's single instance, also while it is starting; ``None`` if there is none. No I/O."""
        return ComfyConnector._single.connector

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
        await connector._creation.start()
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
        await connector._creation.start()
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
            ArgumentError: ``timeout`` or another argument is of a wrong type, or out of range.
            ValidationError: the server refused the prompt or a part of it.
            ExecutionError: a node raised. OutOfMemoryError: it ran out of memory. ExecutionInterrupted: somebody
                interrupted the run. PromptLostError: the server no longer knows the prompt.
            RunTimeout: ``timeout`` passed. ServerDiedError, ServerConnectionError: the server died or is unreachable.
            FatalPromptError, RestartLimitError, ResultLostError: with ``restart_and_resubmit``, this run could not be
                resubmitted.
            ConversionError, ConversionTimeout, BrowserError: the conversion failed.
        """
        wanted = self._runs.submission(
            payload, use_workflow_json, on_progress=on_progress, timeout=timeout,
            extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
        )  # fmt: skip
        return await self._wired.submissions.make(wanted, observed=False).perform()

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
        return await self._runs.submit_filled(
            self._runs.filling(values, files, allow_paid), payload, use_workflow_json=use_workflow_json,
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
        return await self._runs.find(prompt_id)

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
        return await self._runs.run_filled(
            self._runs.filling(values, files, allow_paid), payload, on_progress=on_progress, timeout=timeout,
            extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
        )  # fmt: skip

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

        Entries that cannot be used are listed in ``interface.problems``, and each is logged as a warning.

        Raises as :meth:`get_prompt_from_workflow`; PayloadError for a sidecar that cannot be read, with its file and
        line; FileNotFoundError if there is none where ``interface`` says.
        """
        from discomfort.functions.loading import load_function

        check_sidecar(interface)
        check_text("name", name)
        return await load_function(self._wired.functions, workflow, interface=interface, name=name)

    @without_frames
    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """Convert workflow JSON to the API prompt, exactly as the installed ComfyUI frontend does.

        Makes up to three attempts: on a loaded page, in a new context, in a new browser. ``workflow`` may also be JSON
        text or a path. Safe to cancel.

        Raises PayloadError (not a workflow), MissingNodesError (all missing types), ConversionTimeout (a
        ``TimeoutError``), ConversionError, BrowserError.
        """
        return await self._server.prompt_of(workflow)

    @without_frames
    async def explain(self, workflow: Payload) -> Explanation:
        """Convert a workflow and report for each node what the conversion did with it, and which path converted it.

        Nodes of missing types are listed instead of raising. Otherwise raises as :meth:`get_prompt_from_workflow`, and
        PayloadError for a prompt.
        """
        return await self._server.explain(workflow)

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
        (no such input; with ``named``, that is in the plan), ArgumentError, ServerConnectionError, ServerResponseError,
        StateError.
        """
        check_mapping("values", values, "selectors and values")
        check_flag("online", online)
        check_api_key(api_key)
        workflow = taken(workflow)
        if named:
            from discomfort.functions.loading import plan_of_workflow

            host = self._wired.functions
            return await plan_of_workflow(host, workflow, values, named, online=online, api_key=api_key)
        return await self._plans.plan(workflow, values, online=online, api_key=api_key)

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
        from discomfort.provision.provider import ProvideOptions

        options = ProvideOptions(
            timeout=timeout, tokens=tokens, allow_private=allow_private, extensions=extensions, any_version=any_version,
            models_directory=None if models_directory is None else Path(models_directory),
            parallel=parallel, reserve=reserve,
        )  # fmt: skip
        return await self._plans.provide(
            plan, options, yes=yes, consent=consent, dry_run=dry_run, on_progress=on_progress
        )

    def outputs(self, history: Mapping[str, Any]) -> list[Output]:
        """Every output in a history that :meth:`run_workflow` returned, in the order of the history. No I/O.

        Each :class:`~discomfort.client.outputs.Output` knows its node (id, title, class) and kind, and is read with
        ``await output.read()``, ``.image()`` or ``.save(directory)`` while the server runs.
        """
        return self._server.outputs(history)

    @without_frames
    async def edit(self, payload: Payload, *, workflow: Payload | None = None) -> Editor:
        """An editor for a workflow or prompt that knows the server's node definitions: ``.set("KSampler.seed", 42)``.

        It changes a copy: run ``editor.payload``, which knows what was set in it. When a workflow is converted, each
        value is compared with the prompt. Where the frontend reads the widgets from other places than its node's class
        has them, the values are set on the prompt of the workflow as it was before; where that is not exact,
        InputSelectorError says what stands in the way. ``workflow`` is what a prompt was made of: it has the titles
        of the subgraphs, for selectors such as ``"Upscale/Sampler.seed"``. Raises PayloadError, ServerConnectionError.
        """
        return await self._server.editor(payload, workflow)

    # --- the server's queue ----------------------------------------------------------------------------------------

    @without_frames
    async def queue(self) -> ServerQueue:
        """The ids of the prompts that the server runs and has queued, whoever submitted them.

        Raises ServerConnectionError, ServerResponseError, StateError.
        """
        return await self._server.ask("queue", lambda client: read_queue(client.rest))

    @without_frames
    async def interrupt(self, prompt_id: str | None = None) -> None:
        """Interrupt a prompt if it runs; without an id whatever runs, whoever submitted it.

        Queued prompts stay; :meth:`Run.cancel` takes one off. Returns at once: a node ends when it notices. Its run
        raises ExecutionInterrupted. Raises ServerConnectionError, ServerResponseError, StateError.
        """
        if prompt_id is not None:
            check_prompt_id(prompt_id)
            await self._server.ask("interrupt", lambda client: client.rest.interrupt(prompt_id))
        else:
            await self._server.ask("interrupt", lambda client: client.rest.interrupt_any())

    @without_frames
    async def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """Ask the server to unload its models and to drop the results that it has cached, for all of its users.

        Returns at once; the server does it before its next prompt. Raises ServerConnectionError,
        ServerResponseError, StateError.
        """
        await self._server.ask(
            "free", lambda client: client.rest.free(unload_models=unload_models, free_memory=free_memory)
        )

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
        target = UploadTarget(folder_type, subfolder or "", overwrite, is_ephemeral)
        return upload_blocking(self._parts, self._policy.uploads, source_path, target)

    @without_frames
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
        return await self._server.upload(
            source, name=name, folder_type=folder_type, subfolder=subfolder, overwrite=overwrite, ephemeral=ephemeral
        )

    def discard_upload(self, path: str | os.PathLike[str]) -> bool:
        """Delete one ephemeral upload before :meth:`kill_api`. Returns whether it was deleted. Safe in any thread.

        For long-running programs: the file is removed from memory and journal too. A file that was changed since its
        upload, is not ephemeral or is not ours is kept, and the result is ``False``. Raises OSError.
        """
        return self._server.discard_upload(path)

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

    # --- for Discomfort, as its worker ------------------------------------------------------------------------------

    @property
    def _has_token(self) -> bool:
        """Whether there is a token for the routes of our nodes."""
        return self._settings.token is not None

    @without_frames
    async def _with_values(self, work: Callable[[ValueTransfer], Awaitable[T]]) -> T:
        """Do something with the values that the server has. It ends as calls do. Raises StateError without a token."""
        return await self._server.ask("run", lambda _: work(self._server.values()))

    @without_frames
    async def _node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The server's ``/object_info``, which is not to be changed; ``fresh``: fetched now.

        Empty if the server does not have it. Raises ServerConnectionError, StateError.
        """
        return await self._server.node_definitions(fresh=fresh)

    @without_frames
    async def _check_prompt(
        self, prompt: JsonObject, definitions: JsonObject, *, allow_paid: bool | None = None
    ) -> None:
        """Raises what a run of the prompt raises before it is sent, by these definitions; empty if there are none.

        PayloadError (UnsafePromptError, MissingNodesError, PaidNodesError), ValidationError, ServerConnectionError,
        StateError.
        """
        await self._server.check_prompt(prompt, definitions)
        self._runs.refuse_paid(prompt, definitions, allow_paid=allow_paid)

    @without_frames
    async def _has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the server has a file in its folder ``input``, ``output`` or ``temp``.

        Raises ServerConnectionError, ServerResponseError, StateError.
        """
        return await self._server.has_file(name, subfolder, folder)

    @property
    def _is_ending(self) -> bool:
        """Whether it was shut down, or is being shut down, which its state does not tell yet."""
        return self._lifecycle.ending

    # --- start and shutdown ----------------------------------------------------------------------------------------

    def _sync_cleanup(self) -> None:
        """Kill the server and the browser and delete ephemeral files, without an event loop. For ``atexit``."""
        self._shutdown.close_now()

    def _register_exit_handler(self) -> None:
        atexit.register(self._sync_cleanup)

    def _forget_instance(self) -> None:
        atexit.unregister(self._sync_cleanup)
        ComfyConnector._single.forget(self)
