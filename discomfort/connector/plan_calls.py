"""Calls of a connector about what a workflow needs: plans, and what provides for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort.connector.payloads import Payload, load_payload, own_copy, payload_name
from discomfort.connector.prompts import Prompts
from discomfort.connector.resources import Resources
from discomfort.connector.run_policy import spending
from discomfort.connector.server_calls import ServerCalls
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle

if TYPE_CHECKING:
    from discomfort.planning.needs import ValueNeed
    from discomfort.planning.workflow_plan import WorkflowPlan
    from discomfort.provision.provide_progress import ProvideProgress
    from discomfort.provision.provide_report import ProvideReport
    from discomfort.provision.provider import Consent, ProvideOptions
    from discomfort.workflow.detect import Kind

_PLANS = 16
"""Plans that can be made again after something was provided."""


class PlanCalls:
    """Makes plans, keeps how the last ones were made, and has what they lack provided.

    Planning and provision are imported when they are first needed.
    """

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        startup: Startup,
        loss: ServerLoss,
        prompts: Prompts,
        server: ServerCalls,
    ) -> None:
        self._parts, self._lifecycle, self._startup, self._loss = parts, lifecycle, startup, loss
        self._prompts, self._server = prompts, server
        self._planned: deque[tuple[WorkflowPlan, Callable[[], Awaitable[WorkflowPlan]]]] = deque(maxlen=_PLANS)

    async def plan(
        self, workflow: Payload, values: Mapping[str, Any] | None, *, online: bool, api_key: str | None
    ) -> WorkflowPlan:
        """The plan of a payload with these values, by selector."""
        async with self._server.open("plan"):
            kind, graph = await load_payload(workflow)
        name, given = payload_name(workflow), own_copy(values or {})
        return await self.plan_graph(kind, graph, name, given, online=online, api_key=api_key)

    async def plan_graph(
        self,
        kind: Kind,
        graph: JsonObject,
        name: str,
        values: Mapping[str, Any],
        *,
        brought: Collection[str] = (),
        wrong: Sequence[ValueNeed] = (),
        unknown: Sequence[str] = (),
        online: bool = False,
        api_key: str | None = None,
    ) -> WorkflowPlan:
        """The plan of a graph with these values; inputs in ``brought`` get files.

        ``wrong`` and ``unknown`` are in the plan.
        """
        from discomfort.connector.server_view import ServerView
        from discomfort.planning import remote_facts
        from discomfort.planning.planner import Planner, PlanOrder

        has_key = spending(self._parts.settings, api_key=api_key).api_key is not None
        order = PlanOrder(kind, graph, name, values, frozenset(brought), tuple(wrong), tuple(unknown), has_key)
        async with self._server.open("plan"):
            await self._startup.ready()
            look_up = remote_facts.look_up if online else None
            plan = await Planner(ServerView(self._parts, self._prompts), order, look_up).make()
        again = partial(
            self.plan_graph, kind, graph, name, values,
            brought=brought, wrong=wrong, unknown=unknown, online=online, api_key=api_key,
        )  # fmt: skip
        self._planned.append((plan, again))
        return plan

    async def provide(
        self,
        plan: WorkflowPlan,
        options: ProvideOptions,
        *,
        yes: bool,
        consent: Consent | None,
        dry_run: bool,
        on_progress: Callable[[ProvideProgress], object] | None,
    ) -> ProvideReport:
        """Have what a plan lacks fetched and installed."""
        from discomfort.connector.provide_target import ProvideTarget
        from discomfort.connector.server_view import ServerView
        from discomfort.provision.provider import Provider

        async with self._server.open("provide"):
            await self._startup.ready()
            view = ServerView(self._parts, self._prompts)
            target = ProvideTarget(
                self._parts, self._lifecycle, self._startup, self._loss, self._server.client, view,
                lambda: self._again(plan),
            )  # fmt: skip
            provider = Provider(target, plan, options, on_progress)
            return await provider.run(yes=yes, consent=consent, dry_run=dry_run)

    async def _again(self, plan: WorkflowPlan) -> WorkflowPlan | None:
        """The plan of the same workflow now; ``None`` for one that was not made here, or long ago."""
        for known, make in self._planned:
            if known is plan or (plan.prompt is not None and known.prompt is plan.prompt):
                return await make()
        return None
