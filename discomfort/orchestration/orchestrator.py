"""``Discomfort``: workflows as steps of a program, with values between them."""

from __future__ import annotations

import asyncio
import math
import operator
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from ssl import SSLContext
from types import TracebackType
from typing import Any, ClassVar, Self, Unpack

from discomfort._json import JsonObject
from discomfort._system.concurrency import in_pool, to_thread
from discomfort._tracebacks import without_frames
from discomfort.config import SettingArguments
from discomfort.connector import ComfyConnector
from discomfort.connector.payloads import Payload, own_extra_data
from discomfort.connector.states import State
from discomfort.context.context import WorkflowContext, checked_id
from discomfort.exceptions import ConfigurationError, DamagedDataError, DiscomfortError, ExecutionError
from discomfort.orchestration.context_end import ended_with
from discomfort.orchestration.list_run import ListRun, RunOrder
from discomfort.orchestration.results import Results
from discomfort.orchestration.steps import listed
from discomfort.orchestration.sync_orchestrator import SyncDiscomfort
from discomfort.orchestration.temporary_contexts import TemporaryContexts
from discomfort.orchestration.token_check import check_token
from discomfort.orchestration.tools import WorkflowTools
from discomfort.orchestration.transport_choice import Transports
from discomfort.orchestration.warm_nodes import WarmNodes
from discomfort.orchestration.worker import Worker
from discomfort.progress import WorkflowProgressCallback
from discomfort.sync import SyncConnector
from discomfort.workflow.pass_by import CHOICES

_FACTS_DEADLINE = 2.0
"""Seconds to wait for a server's node definitions, for a report."""


class Discomfort:
    """Runs workflows one after another, with values between them, on the server of one connector, its ``Worker``.

    A workflow takes and gives values at its ports, nodes of the class ``DiscomfortPort``::

        async with await Discomfort.create() as discomfort:
            with discomfort.Context() as context:
                context.save("prompt", "a fox in the snow")
                for seed in range(4):
                    results = await discomfort.run("workflow.json", {"seed": seed}, context=context)
                    discomfort.Tools.save_comfy_image_to_disk(results["image"], f"fox_{seed}.png")

    Make one with :meth:`create` or :meth:`attach`; :meth:`sync` makes one whose calls need no ``await``. Programs that
    only need the connector use that directly.
    """

    Context: ClassVar[type[WorkflowContext]] = WorkflowContext
    """The class of contexts."""

    def __init__(self, worker: ComfyConnector, tools: WorkflowTools | None = None) -> None:
        """Used by :meth:`create` and :meth:`attach`; starts nothing."""
        self._worker = worker
        self._tools = WorkflowTools() if tools is None else tools
        self._runs = ListRuns(worker, worker._settings.warm_nodes, is_exact=worker._settings.exact)

    @classmethod
    async def create(
        cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]
    ) -> Self:
        """Start the connector, as :meth:`ComfyConnector.create` does, with its arguments, errors and cancellation.

        ``config_path`` is for ``comfy_serverless.json``. Raises ConfigurationError too if ``pass_by_rules.json`` is
        wrong, before anything starts.
        """
        tools = WorkflowTools()
        return cls(await ComfyConnector._create(config_path, settings, loads_nodes=True), tools)

    @classmethod
    async def attach(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | bool | None = None,
        proxy: str | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> Self:
        """Connect to a running server, as :meth:`ComfyConnector.attach` does, with its arguments and errors.

        Such a server shares no files with this program. If it has our nodes, and ``DISCOMFORT_TOKEN`` in its
        environment, give that as ``token``: then all values pass as they are, over HTTP. Otherwise constants and
        references pass as always, and IMAGE, MASK and LATENT through uploads and nodes that every ComfyUI has, sound
        only to the server; pictures and masks in 8 bits, with a warning in the log, or not at all if ``exact=True``.
        :meth:`run` raises PortError for a port whose value cannot pass, before anything is sent; :meth:`diagnostics`
        shows what is lost.

        Raises ConfigurationError too if the server does not accept the token, or has no routes for one given here.
        """
        tools = WorkflowTools()
        worker = await ComfyConnector.attach(
            url, headers=headers, ssl=ssl, proxy=proxy, config_path=config_path, **settings
        )
        try:
            await _check_token(worker)
        except BaseException:
            await worker.kill_api()
            raise
        return cls(worker, tools)

    @classmethod
    def sync(
        cls, config_path: str | os.PathLike[str] | None = None, **settings: Unpack[SettingArguments]
    ) -> SyncDiscomfort:
        """Start a server as :meth:`create` does, for scripts and notebooks without ``await``.

        Further calls use the same server, as in a notebook whose cell is run again.
        """
        tools = WorkflowTools()
        return cls._sync(SyncConnector._create(config_path, settings, loads_nodes=True), tools)

    @classmethod
    def sync_attach(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | bool | None = None,
        proxy: str | None = None,
        config_path: str | os.PathLike[str] | None = None,
        **settings: Unpack[SettingArguments],
    ) -> SyncDiscomfort:
        """Connect to a running server as :meth:`attach` does, for scripts and notebooks without ``await``."""
        tools = WorkflowTools()
        worker = SyncConnector.attach(url, headers=headers, ssl=ssl, proxy=proxy, config_path=config_path, **settings)
        try:
            worker._thread.call(_check_token(worker.connector))
        except BaseException:
            worker.kill_api()
            raise
        return cls._sync(worker, tools)

    @classmethod
    def _sync(cls, worker: SyncConnector, tools: WorkflowTools) -> SyncDiscomfort:
        return SyncDiscomfort(worker, cls(worker.connector, tools))

    def __repr__(self) -> str:
        return f"<Discomfort {self._worker.state} {self._worker.engine or '-'} {self._worker.server_address}>"

    @property
    def Worker(self) -> ComfyConnector:  # noqa: N802 - the documented name
        """The connector."""
        return self._worker

    @property
    def Tools(self) -> WorkflowTools:  # noqa: N802 - the documented name
        """Tools for workflows and pictures; its ``pass_by_rules`` are those of later runs."""
        return self._tools

    @without_frames
    async def run(
        self,
        workflows: Payload | Sequence[Payload],
        inputs: Mapping[str, Any] | None = None,
        iterations: int = 1,
        use_ram: bool = True,
        context: WorkflowContext | None = None,
        *,
        on_progress: WorkflowProgressCallback | None = None,
        timeout: float | None = None,
        extra_data: Mapping[str, Any] | None = None,
        allow_paid: bool | None = None,
        api_key: str | None = None,
    ) -> Results:
        """Run workflows in the order given, and return the values of their OUTPUT ports by ``unique_id``.

        Each workflow reads the variables of its INPUT ports from the context, and writes those of its OUTPUT ports to
        it. The whole list runs ``iterations`` times; what one iteration writes, the next one reads. Nothing else
        changes: without a port for its seed, a workflow makes the same picture each time.

        A value goes by value (numbers, texts, pictures as ``[batch, height, width, channels]``) or by reference
        (models, conditioning), as ``Tools.pass_by_rules`` say for the type at the port. A :class:`Reference` is the
        recipe of an object that stays in the server; a workflow that needs it gets its nodes, and the server's cache
        has the object. The results are of this call only. An OUTPUT at which nothing arrives is left out.

        Calls may overlap, on one context too: a workflow sees the context as it was when it began, and what it writes
        counts when it has ended.

        Args:
            workflows: paths, JSON texts or objects, of workflows or prompts; or a single one. Each file is read once,
                and each distinct workflow is converted once.
            inputs: values by ``unique_id``, saved to the context before the first iteration; they stay there. An id
                without a port is saved, too, and logged: as a warning if a port that lacks a value has a similar id.
            iterations: how often the list is run, 1 or more.
            use_ram: keep what this call stores in memory, if it fits, else on disk; ``False``: on disk.
            context: keeps the variables after the call. Default: one that ends with the call.
            on_progress: receives a :class:`~discomfort.progress.WorkflowProgress` for each event of each workflow.
            timeout: seconds for the whole call; no limit by default.
            extra_data: sent along with each prompt, beside the workflow, which saved pictures carry.
            allow_paid, api_key: whether nodes that cost money may run, and their key, as with
                :meth:`ComfyConnector.run_workflow`.

        Before anything is sent, everything is checked: a PortError (a ValueError) lists all that is wrong in all
        workflows. An error of a workflow says which one it was in ``workflow`` and in a note. The server stays up, and
        the context keeps what earlier workflows wrote; the failed one leaves nothing. Cancellation takes the prompt off
        the server and leaves the context in the same way.

        Raises:
            PortError: ports contradict each other, lack a value, or get one that does not fit.
            PayloadError, FileNotFoundError: an item is not a workflow, or does not exist.
            PaidNodesError: nodes cost money, and the call does not allow that.
            TypeError, ValueError: an argument is wrong; UnsupportedValueError for an input that cannot be stored.
            RunTimeout: the timeout passed.
            StateError: the context was shut down, or the connector.
            RunError, ServerError, ConversionError: as :meth:`ComfyConnector.run_workflow`.
        """
        order = RunOrder(
            listed(workflows), _checked_inputs(inputs), _checked_iterations(iterations), bool(use_ram),
            _checked_callback(on_progress), _checked_timeout(timeout), own_extra_data(extra_data), allow_paid, api_key,
        )  # fmt: skip
        return await self._runs.perform(order, context, _checked_rules(self._tools.pass_by_rules))

    async def diagnostics(self) -> JsonObject:
        """What a bug report should contain: that of :meth:`ComfyConnector.diagnostics`, and how values pass.

        The section ``orchestration`` has the ``tier`` of the transport to the server (1: files that both see, 2: routes
        of our nodes, 3: uploads and nodes that every ComfyUI has), its ``losses``, the ``reason`` of the choice, and
        the paths of ``pass_by_rules.json`` and ``workflow_context.json``, ``None`` for built-in values. Works in every
        state.
        """
        found = await self._worker.diagnostics()
        if self._worker.state is State.READY:
            facts = await self._runs.transport_facts()
        else:
            facts = {"tier": None, "reason": f"the connector is {self._worker.state}", "losses": []}
        return {**found, "orchestration": {**facts, **await to_thread(self._tools._configuration_paths)}}

    async def shutdown(self) -> None:
        """Release the connector, as :meth:`ComfyConnector.kill_api` does. Safe to call twice. Contexts stay."""
        try:
            await self._worker.kill_api()
        finally:
            await in_pool(self._runs.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()


class ListRuns:
    """The runs on one worker, which share the references that its server has made."""

    def __init__(self, worker: Worker, warm_nodes: int, *, is_exact: bool = False) -> None:
        self._worker = worker
        self._warm = WarmNodes(warm_nodes)
        self._temporary = TemporaryContexts()
        self._transports = Transports(worker, is_exact=is_exact)

    async def transport_facts(self) -> JsonObject:
        """The transport as JSON; ``tier`` is ``None`` if the server cannot be asked."""
        try:
            async with asyncio.timeout(_FACTS_DEADLINE):
                transport = self._transports.choose(await self._worker._node_definitions())
        except (DiscomfortError, OSError) as error:
            return {"tier": None, "reason": str(error)[:500], "losses": []}
        return {"tier": transport.tier, "reason": transport.reason, "losses": list(transport.losses)}

    async def perform(self, order: RunOrder, context: WorkflowContext | None, rules: Mapping[str, str]) -> Results:
        """Run a list in a context, or in one that ends with it."""
        if context is not None:
            if not isinstance(context, WorkflowContext):
                raise TypeError(f"context is a WorkflowContext, not {type(context).__name__}")
            try:
                async with ended_with(context):
                    return await ListRun(self._worker, context, rules, self._warm, self._transports, order).perform()
            except (DamagedDataError, ExecutionError, OSError) as error:
                # If the context was shut down meanwhile, that is why a file is gone, here or for the server.
                if context._is_closed():
                    raise context._end_error() from error
                raise
        async with self._temporary.one() as temporary:
            return await ListRun(self._worker, temporary, rules, self._warm, self._transports, order).perform()

    def close(self) -> None:
        """Remove the contexts of calls that had none. Blocking. Safe to call twice."""
        self._temporary.close()


async def _check_token(worker: ComfyConnector) -> None:
    await check_token(worker, is_demanded=worker._settings.sources.get("token") == "argument")


def _checked_inputs(inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs is a dictionary of values by unique_id, not {type(inputs).__name__}")
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        unique_id = checked_id(key)
        if unique_id in found:
            raise ValueError(f"inputs has {unique_id!r} twice: spaces around an id do not count")
        found[unique_id] = value
    return found


def _checked_iterations(iterations: object) -> int:
    if isinstance(iterations, bool):
        raise TypeError("iterations is a whole number, not bool")
    try:
        number = operator.index(iterations)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"iterations is a whole number, not {type(iterations).__name__}") from None
    if number < 1:
        raise ValueError(f"iterations is 1 or more, not {number}")
    return number


def _checked_timeout(timeout: object) -> float | None:
    if timeout is not None and (not isinstance(timeout, Real) or isinstance(timeout, bool)):
        raise TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}")
    if timeout is not None and math.isnan(timeout):
        raise ValueError("timeout is a number of seconds or None, not NaN")
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout is a number of seconds from 0 on, not {timeout}")
    return None if timeout is None else float(timeout)


def _checked_callback(on_progress: WorkflowProgressCallback | None) -> WorkflowProgressCallback | None:
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress is a function that takes an event, not {type(on_progress).__name__}")
    return on_progress


def _checked_rules(rules: Mapping[str, str]) -> dict[str, str]:
    """The rules as they are now; a program may have changed them."""
    if not isinstance(rules, Mapping) or not all(isinstance(name, str) for name in rules):
        raise ConfigurationError("must be an object with names of types as keys", key="pass_by_rules", value=rules)
    for name, rule in rules.items():
        if rule not in CHOICES:
            raise ConfigurationError("must be 'val', 'ref' or 'auto'", key=name, value=rule, source="pass_by_rules")
    return {name.strip().upper(): rule for name, rule in rules.items()}
