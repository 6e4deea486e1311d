"""The calls of workflow functions to their connector: the ``FunctionHost`` of ``discomfort.functions``."""

from __future__ import annotations

from discomfort.connector.plan_calls import PlanCalls
from discomfort.connector.resources import Resources
from discomfort.connector.run_calls import RunCalls
from discomfort.connector.server_calls import ServerCalls
from discomfort.connector.shared_uploads import SharedUploads


class FunctionCalls:
    """The calls of other parts under the names that functions know."""

    def __init__(
        self, parts: Resources, server: ServerCalls, runs: RunCalls, plans: PlanCalls, uploads: SharedUploads
    ) -> None:
        self._parts = parts
        self.get_prompt_from_workflow, self.explain = server.prompt_of, server.explain
        self.node_definitions, self.has_file = server.node_definitions, server.has_file
        self.run_filled, self.submit_filled, self.refuse_paid = runs.run_filled, runs.submit_filled, runs.refuse_paid
        self.plan_graph = plans.plan_graph
        self.upload_for_call, self.discard_after_call = uploads.take, uploads.leave

    @property
    def server_address(self) -> str:
        """The server's URL."""
        return self._parts.url
