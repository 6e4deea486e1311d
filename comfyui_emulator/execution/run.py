"""Executes one validated prompt: runs its nodes, sends the messages, returns the outcome for the history."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfyui_emulator.dynamic_inputs import InputShape
from comfyui_emulator.execution.arrivals import Arrivals
from comfyui_emulator.execution.cache import Keys
from comfyui_emulator.execution.calls import Expansion, Inputs, Returns, find_blocker, slices
from comfyui_emulator.execution.details import blocked_details, failure_details
from comfyui_emulator.execution.engine import Engine, RunOutcome, RunRequest
from comfyui_emulator.execution.graph import DependencyCycleError, RunGraph, Schedule, result_links
from comfyui_emulator.execution.inputs import bare_hidden_values, gather, hidden_values, resolve
from comfyui_emulator.execution.loading import ModelUse
from comfyui_emulator.execution.progress import RunProgress
from comfyui_emulator.execution.shown import ShownOutputs
from comfyui_emulator.execution.stores import Entry
from comfyui_emulator.execution.validation import exception_name
from comfyui_emulator.execution.worker import NodeCrash
from comfyui_emulator.registry import JsonObject, NodeType, node_inputs
from comfyui_emulator.runtime import ExecutionBlocker, Interrupted, NodeContext, check_interrupted, using
from comfyui_emulator.runtime import context as current_context

log = logging.getLogger("comfyui_emulator")


class _Failure(Exception):
    def __init__(self, node_id: str, error: BaseException, inputs: Inputs | None = None) -> None:
        super().__init__(node_id)
        self.node_id, self.error, self.inputs = node_id, error, inputs


class Run:
    """One execution of one prompt; call :meth:`execute` once."""

    def __init__(self, engine: Engine, request: RunRequest) -> None:
        self._engine, self._request = engine, request
        # Each node is copied because change tokens are written into it, which the history must not show.
        self._prompt: dict[str, JsonObject] = {node_id: dict(node) for node_id, node in request.prompt.items()}
        self._graph = RunGraph(self._prompt)
        self._sid = request.extra_data.get("client_id")
        self._progress = RunProgress(engine.hub, self._graph, request.prompt_id, self._sid)
        self._tokens: dict[str, Any] = {}
        self._keys = Keys(self._graph, engine.registry, self._tokens, flat=engine.results.flat)
        self._arrivals = Arrivals(engine.results.get)
        self._schedule = Schedule(
            self._graph, engine.registry, self._arrivals, lambda node: engine.results.get(node) is not None
        )
        self._models = ModelUse(engine.device, self._graph, engine.registry, self._arrivals)
        self._shown = ShownOutputs(self._graph, request.prompt_id, self._send)
        self._messages: list[tuple[str, JsonObject]] = []
        self._executed: dict[str, None] = {}
        self._awaited: dict[str, Returns] = {}
        self._expanded: dict[str, Returns] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._failed: _Failure | None = None
        self._known: list[str] = []

    async def execute(self) -> RunOutcome:
        """Run to the end. Errors of nodes or the graph go into the outcome; cancellation ends coroutine nodes too."""
        # The whole server has one flag, as in ComfyUI: an interrupt sent while nothing ran must not end this run.
        self._engine.context.interrupt.clear()
        self._note("execution_start", {})
        success = False
        try:
            await self._prepare()
            await self._loop()
        except _Failure as failure:
            # ComfyUI counts nodes that wait for each other as no failure, although it sends an error.
            success = isinstance(failure.error, DependencyCycleError)
            self._report(failure)
        else:
            success = True
            self._send_intermediate()
            self._note("execution_success", {})
        finally:
            for task in self._tasks:
                task.cancel()
            self._engine.current_node = None
        return RunOutcome(success, self._messages, self._shown.listed("output"), self._shown.listed("meta"))

    def _note(self, event: str, data: JsonObject, *, broadcast: bool = False) -> None:
        data = {**data, "prompt_id": self._request.prompt_id, "timestamp": int(time.time() * 1000)}
        self._messages.append((event, data))
        if self._sid is not None or broadcast:
            self._engine.hub.send(event, data, self._sid)

    def _send(self, event: str, data: JsonObject) -> None:
        if self._sid is not None:
            self._engine.hub.send(event, data, self._sid)

    def _kind(self, node_id: str) -> NodeType:
        return self._engine.registry[self._graph.class_type(node_id)]

    async def _prepare(self) -> None:
        self._engine.objects.begin(self._prompt)
        classes = {node_id: str(node["class_type"]) for node_id, node in self._prompt.items()}
        self._engine.expansions.begin(classes)
        added = self._engine.expansions.nodes(deep=not self._engine.results.flat)
        self._known = self._engine.results.names([*classes, *(node_id for node_id, _ in added)])
        # Before any key is computed, because tokens are part of the keys.
        await self._read_tokens(self._prompt)
        self._engine.results.begin(self._prompt, self._keys.of, [key for _, key in added])
        cached = [node_id for node_id in self._prompt if self._engine.results.get(node_id) is not None]
        self._note("execution_cached", {"nodes": cached})
        for node_id in self._request.outputs:
            try:
                self._schedule.add(node_id)
            except Exception as error:
                raise _Failure(node_id, error) from error

    async def _read_tokens(self, node_ids: Mapping[str, object]) -> None:
        """Evaluate the change token of every node whose class has one, from the node's constants."""
        for node_id in node_ids:
            node = self._graph.node(node_id)
            kind = self._kind(node_id)
            if kind.change_hook is None:
                continue
            # A token in the submitted node overrides the class's own, as in ComfyUI.
            if "is_changed" not in node:
                inputs, _ = self._inputs(node_id, constants_only=True)
                context = replace(self._engine.context, node_id=node_id)
                try:
                    with using(context):
                        node["is_changed"] = await self._hook_results(node_id, kind.change_hook, inputs)
                except Exception as error:  # noqa: BLE001 - counts as always changed, as in ComfyUI
                    log.warning("the change check of node %s failed: %s", node_id, error)
                    node["is_changed"] = float("nan")
            self._tokens[node_id] = node["is_changed"]

    def _shape(self, node_id: str) -> InputShape:
        return self._kind(node_id).shape(node_inputs(self._graph.node(node_id)))

    async def _hook_results(self, node_id: str, hook: Any, inputs: Inputs, *, keyed: bool = False) -> list[Any]:
        """The results of a class's hook, one per call: awaited in the event loop, or called in the nodes' thread."""
        shape, is_list = self._shape(node_id), self._kind(node_id).input_is_list
        calls = [shape.nested(arguments, keyed=keyed) for arguments in slices(inputs, input_is_list=is_list)]
        if inspect.iscoroutinefunction(hook):
            return await asyncio.gather(*(hook(**arguments) for arguments in calls))
        return await self._engine.thread.run(lambda: [hook(**arguments) for arguments in calls])

    async def _loop(self) -> None:
        while self._schedule:
            if self._failed is not None:
                raise self._failed
            try:
                node_id = self._schedule.pick()
            except DependencyCycleError as error:
                raise _Failure(error.blamed, error) from error
            if node_id is None:
                self._wake.clear()
                await self._wake.wait()
            else:
                if await self._step(node_id):
                    self._schedule.done(node_id)
                self._engine.results.stepped()

    async def _step(self, node_id: str) -> bool:
        """Advance one node; ``False`` if it has to wait for something. Raises :class:`_Failure`."""
        cached = self._engine.results.get(node_id)
        if cached is not None:
            self._shown.cached(node_id, cached)
            self._progress.finish(node_id)
            self._arrivals.arrived(node_id, cached)
            return True
        inputs: Inputs | None = None
        try:
            kind = self._kind(node_id)
            values: list[list[Any]]
            if node_id in self._expanded:
                values = resolve(kind, self._expanded.pop(node_id), lambda source: self._arrived(source, node_id))
            else:
                if node_id in self._awaited:
                    returns = self._awaited.pop(node_id)
                else:
                    inputs, missing = self._begin(node_id)
                    if self._engine.faults.any:
                        await self._engine.faults.before_node(node_id, kind.name)
                    instance = self._engine.instance(node_id, kind)
                    if kind.has_lazy_check and await self._ask_lazy(node_id, instance, inputs, missing):
                        return False
                    await self._models.load(node_id, inputs, self._in_thread)
                    called = await self._call(node_id, kind, instance, inputs)
                    if called is None:
                        return False
                    returns = called
                if ui := returns.merged_ui():
                    self._shown.made(node_id, ui)
                if returns.expands:
                    await self._expand(node_id, returns)
                    return False
                values = returns.merged_values(kind)
            entry = Entry(values, self._shown.of(node_id), self._models.brought(node_id))
            self._arrivals.arrived(node_id, entry)
            self._engine.results.put(node_id, entry)
        except _Failure:
            raise
        except Exception as error:
            raise _Failure(node_id, error, inputs) from error
        self._progress.finish(node_id)
        self._executed[node_id] = None
        return True

    def _begin(self, node_id: str) -> tuple[Inputs, set[str]]:
        self._progress.start(node_id)
        display = self._graph.display(node_id)
        self._engine.current_node = display
        self._send("executing", {"node": node_id, "display_node": display, "prompt_id": self._request.prompt_id})
        return self._inputs(node_id)

    def _inputs(self, node_id: str, *, constants_only: bool = False) -> tuple[Inputs, set[str]]:
        def value_of(source: str, slot: int) -> list[Any] | None:
            entry = None if constants_only else self._arrived(source, node_id)
            # If a node returns fewer outputs than it declares, the rest are None, as in ComfyUI.
            return None if entry is None or slot >= len(entry.values) else entry.values[slot]

        hidden = bare_hidden_values(node_id)
        if not constants_only:
            hidden = hidden_values(self._graph, node_id, self._request.extra_data | self._request.sensitive)
        return gather(self._kind(node_id), node_inputs(self._graph.node(node_id)), value_of, hidden)

    def _arrived(self, source: str, node_id: str) -> Entry | None:
        """What a node has received from another; using it puts it back into the cache, as in ComfyUI."""
        entry = self._arrivals.of(source, node_id)
        if entry is not None:
            self._engine.results.put(source, entry)
        return entry

    async def _ask_lazy(self, node_id: str, instance: Any, inputs: Inputs, missing: set[str]) -> bool:
        """Ask the node which lazy inputs it needs; ``True`` if it has to begin again once they are there."""
        with using(self._node_context(node_id)):
            answers = await self._hook_results(node_id, instance.check_lazy_status, inputs, keyed=True)
        names = {name for answer in answers if isinstance(answer, list) for name in answer if isinstance(name, str)}
        wanted = sorted(name for name in names if name not in inputs or name in missing)
        for name in wanted:
            self._schedule.need_input(node_id, name)
        return bool(wanted)

    async def _in_thread(self, node_id: str, function: Any) -> Any:
        context = self._node_context(node_id)
        with using(context):
            return await self._engine.thread.run(function)

    def _node_context(self, node_id: str) -> NodeContext:
        return replace(self._engine.context, node_id=node_id, report=self._progress.report, text=self._progress.text)

    async def _call(self, node_id: str, kind: NodeType, instance: Any, inputs: Inputs) -> Returns | None:
        """Call the node once per list element; ``None`` if it continues asynchronously."""
        function = self._engine.function(kind, instance)
        if kind.is_async:
            return await self._start_async(node_id, kind, function, inputs)
        loop = asyncio.get_running_loop()
        shape = self._shape(node_id)

        def work() -> Returns:
            returns = Returns()
            here = current_context()
            for here.call, arguments in enumerate(slices(inputs, input_is_list=kind.input_is_list)):
                here.graphs = 0
                blocker = find_blocker(arguments, input_is_list=kind.input_is_list)
                if blocker is not None:
                    loop.call_soon_threadsafe(self._blocked, node_id, blocker)
                    returns.add(ExecutionBlocker(None), kind)
                    continue
                # An interrupt that a node ignored takes effect here, before the next call, as in ComfyUI.
                check_interrupted()
                returns.add(function(**shape.nested(arguments)), kind)
            return returns

        result: Returns = await self._in_thread(node_id, work)
        return result

    async def _start_async(self, node_id: str, kind: NodeType, function: Any, inputs: Inputs) -> Returns | None:
        """Start a coroutine node; other nodes may run while it waits."""
        returns, shape = Returns(), self._shape(node_id)

        async def work() -> None:
            with using(self._node_context(node_id)) as here:
                for here.call, arguments in enumerate(slices(inputs, input_is_list=kind.input_is_list)):
                    here.graphs = 0
                    blocker = find_blocker(arguments, input_is_list=kind.input_is_list)
                    if blocker is not None:
                        self._blocked(node_id, blocker)
                        returns.add(ExecutionBlocker(None), kind)
                        continue
                    check_interrupted()
                    returns.add(await function(**shape.nested(arguments)), kind)

        task = asyncio.create_task(work())
        # A coroutine that never waits is done after one turn of the loop, and needs no hold.
        await asyncio.sleep(0)
        if task.done():
            task.result()
            return returns
        self._schedule.hold(node_id)
        self._tasks.add(task)

        def settle(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if done.cancelled():
                return
            error = done.exception()
            if error is None:
                self._awaited[node_id] = returns
            elif self._failed is None:
                self._failed = _Failure(node_id, error)
            self._schedule.release(node_id)
            self._wake.set()

        task.add_done_callback(settle)
        return None

    def _send_intermediate(self) -> None:
        """Send the UI parts of cached nodes whose class asks for that (ComfyUI 0.19 and newer)."""
        for node_id in [*self._prompt, *self._graph.added()]:
            if node_id not in self._executed and self._kind(node_id).has_intermediate_output:
                cached = self._engine.results.get(node_id)
                if cached is not None:
                    self._shown.cached(node_id, cached)

    async def _expand(self, node_id: str, returns: Returns) -> None:
        """Add the sub-graphs that the calls returned; the node waits for the nodes that their results link to."""
        new_ids: dict[str, None] = {}
        for result in returns.results:
            if not isinstance(result, Expansion):
                continue
            for child, node in result.graph.items():
                if child in (step for step, _ in self._graph.path(node_id)):
                    # ComfyUI since 0.3.68 looks for the origin of such a node forever.
                    raise ValueError(f"node {node_id} expands to {child}, of which it is a part itself")
                if node.get("class_type") not in self._engine.registry:
                    # As in ComfyUI, the error consists of the class name only.
                    raise KeyError(node.get("class_type"))
                self._graph.add(child, node, node_id, node.get("override_display_id", node_id))
                new_ids[child] = None
        self._keys.renew(new_ids)
        await self._read_tokens(new_ids)
        classes = {child: self._graph.class_type(child) for child in new_ids}
        keys = {child: self._keys.of(child) for child in new_ids}
        self._engine.expansions.add(self._graph.path(node_id), classes, keys)
        self._expanded[node_id] = returns
        for child in new_ids:
            # A look-up keeps what is cached: it belongs to this run, too.
            self._engine.results.get(child)
            if self._kind(child).is_output:
                # No node waits for an output node; even a cached one is scheduled, to send ``executed``, as in ComfyUI.
                self._schedule.add(child)
        for result in returns.results:
            for _, source, slot in result_links(result.result if isinstance(result, Expansion) else ()):
                self._schedule.need(node_id, source, slot)

    def _blocked(self, node_id: str, blocker: ExecutionBlocker) -> None:
        if blocker.message is None:
            return
        common = {
            "prompt_id": self._request.prompt_id,
            "node_id": node_id,
            "node_type": self._graph.class_type(node_id),
            "executed": list(self._executed),
        }
        # Unlike every other error, ComfyUI broadcasts this one if the prompt has no client.
        self._engine.hub.send("execution_error", common | blocked_details(blocker.message), self._sid)

    def _report(self, failure: _Failure) -> None:
        """Log and send the failure, under the id of the submitted node."""
        node_id, error = self._graph.real(failure.node_id), failure.error
        known = node_id in self._graph
        common: JsonObject = {
            "prompt_id": self._request.prompt_id,
            "node_id": node_id,
            "node_type": self._graph.class_type(node_id) if known else "",
            "executed": list(self._executed),
        }
        if isinstance(error, Interrupted):
            log.info("prompt %s was interrupted", self._request.prompt_id)
            self._note("execution_interrupted", common, broadcast=True)
            return
        if isinstance(error, NodeCrash) and error.__cause__ is not None:
            error = error.__cause__
        self._models.failed(error)
        log.error("node %s (%s) failed: %s", node_id, common["node_type"], exception_name(error))
        data = common | failure_details(error, self._quoted(failure), self._known)
        self._note("execution_error", data)

    def _quoted(self, failure: _Failure) -> Inputs:
        """The inputs that an error quotes: hidden ones are left out for nodes of the newer schema."""
        given = failure.inputs or {}
        kind = self._kind(failure.node_id) if given else None
        if kind is None or not kind.hides_inputs:
            return given
        hidden = {kind.hidden_prefix + name for name in kind.structure.get("hidden") or ()}
        return {name: values for name, values in given.items() if name not in hidden}
