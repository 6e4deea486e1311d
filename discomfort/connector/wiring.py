"""The parts of one connector that share its server, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Calls
from discomfort.connector.cancellation import CancellationWatch
from discomfort.connector.creation import Creation
from discomfort.connector.event_log import EventLog
from discomfort.connector.function_calls import FunctionCalls
from discomfort.connector.health import Health, StuckWatch
from discomfort.connector.plan_calls import PlanCalls
from discomfort.connector.prompts import Prompts
from discomfort.connector.recovery import Recovery, RestartBudget
from discomfort.connector.resources import Resources
from discomfort.connector.run_calls import RunCalls
from discomfort.connector.run_policy import RunPolicy
from discomfort.connector.run_uploads import RunUploads
from discomfort.connector.server_calls import ServerCalls
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.shared_uploads import SharedUploads
from discomfort.connector.shutdown import Shutdown
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle
from discomfort.connector.submissions import Submissions


class Wiring:
    """Makes each part with those that it uses; the connector takes them from here.

    ``self_test`` is the connector's documented method; ``on_first`` is called before anything is acquired, ``forget``
    when everything is gone.
    """

    def __init__(
        self,
        parts: Resources,
        *,
        self_test: Callable[[], Awaitable[bool]],
        on_first: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self.parts, self.lifecycle, self.events = parts, Lifecycle(), EventLog()
        self.calls, self.background = Calls(), BackgroundTasks()
        self._wire_server(self_test, on_first, forget)
        self._wire_runs()
        self._wire_calls()
        self.shutdown: Shutdown = Shutdown(
            parts, self.lifecycle, self.calls, self.background, self.startup, forget=forget
        )
        self.creation: Creation = Creation(parts.settings, self.lifecycle, self.startup, self.shutdown)

    async def _start(self) -> None:
        await self.startup.start()

    async def _ready(self) -> None:
        await self.startup.ready()

    def _watch(self) -> None:
        self._stuck_watch.start(self.background, self.lifecycle)

    def _wire_server(
        self, self_test: Callable[[], Awaitable[bool]], on_first: Callable[[], None], forget: Callable[[], None]
    ) -> None:
        parts, lifecycle, calls, background = self.parts, self.lifecycle, self.calls, self.background
        self.recovery: Recovery = Recovery(
            parts.settings.on_server_death,
            RestartBudget(parts.settings.max_restarts),
            start=self._start,
            spawn=background.spawn,
            events=self.events,
        )
        self.loss: ServerLoss = ServerLoss(parts, lifecycle, self.recovery, calls, background, self.events)
        self.health: Health = Health(parts, self.loss)
        self._stuck_watch = StuckWatch(lambda: parts.client, self.loss.is_stuck, reads_log=not parts.owned)
        self.startup: Startup = Startup(
            parts, lifecycle, self.recovery, self.loss, self.health, calls, background,
            self_test=self_test, on_first=on_first, on_first_failed=forget,
        )  # fmt: skip

    def _wire_runs(self) -> None:
        parts, lifecycle, calls = self.parts, self.lifecycle, self.calls
        self.prompts: Prompts = Prompts(parts, self.recovery, self.loss, calls, ready=self._ready)
        cancellation = CancellationWatch(parts, lifecycle, self.recovery, self.loss, self.background)
        self.policy: RunPolicy = RunPolicy(
            parts, lifecycle, self.recovery, self.loss, self.prompts, cancellation, calls, self.events,
            ready=self._ready, watch=self._watch,
        )  # fmt: skip
        self.submissions: Submissions = Submissions(
            parts, lifecycle, calls, self.prompts, self.policy, ready=self._ready, watch=self._watch
        )

    def _wire_calls(self) -> None:
        parts, prompts = self.parts, self.prompts
        self.server: ServerCalls = ServerCalls(
            parts, self.lifecycle, prompts, self.policy, self.calls, ready=self._ready
        )
        server, spawn, owned = self.server, self.background.spawn, parts.owned
        uploads = RunUploads(server.upload, server.discard_upload, spawn=spawn, are_ephemeral=owned)
        self.runs: RunCalls = RunCalls(parts.settings, self.submissions, prompts, uploads, server)
        self.plans: PlanCalls = PlanCalls(parts, self.lifecycle, self.startup, self.loss, prompts, server)
        shared = SharedUploads(server.upload, uploads.delete, server.has_file, are_ephemeral=owned)
        self.functions: FunctionCalls = FunctionCalls(parts, server, self.runs, self.plans, shared)
