"""Calls of a connector that run something: what they may spend, what is filled in, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort.config import Settings
from discomfort.connector.argument_checks import check_mapping
from discomfort.connector.payload_filling import Filling, PayloadFilling
from discomfort.connector.payloads import Payload, own_copy, own_extra_data, taken
from discomfort.connector.prompts import Prompts
from discomfort.connector.run_handle import Run
from discomfort.connector.run_policy import spending
from discomfort.connector.run_result import RunResult
from discomfort.connector.run_uploads import RunUploads
from discomfort.connector.server_calls import ServerCalls
from discomfort.connector.submissions import Submission, Submissions
from discomfort.progress import ProgressCallback
from discomfort.workflow.edited_workflow import EditedWorkflow
from discomfort.workflow.partner_nodes import partner_nodes

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent


class RunCalls:
    """Makes submissions of what callers give, and results of their runs."""

    def __init__(
        self, settings: Settings, submissions: Submissions, prompts: Prompts, uploads: RunUploads, server: ServerCalls
    ) -> None:
        self._settings, self._submissions, self._prompts = settings, submissions, prompts
        self._uploads, self._server = uploads, server

    def submission(
        self,
        payload: Payload,
        use_workflow_json: bool | None = None,
        filling: Filling | None = None,
        *,
        on_progress: ProgressCallback | None = None,
        timeout: float | None,
        extra_data: Mapping[str, Any] | None,
        allow_paid: bool | None,
        api_key: str | None,
    ) -> Submission:
        """A caller's wish with copies of what it gave. Raises PayloadError, ArgumentError."""
        spent, extra = spending(self._settings, allow_paid=allow_paid, api_key=api_key), own_extra_data(extra_data)
        return Submission(taken(payload), use_workflow_json, on_progress, timeout, extra, spent, filling)

    async def run_filled(
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
        """Run what ``filling`` makes of ``payload`` to its end, in the caller's task."""
        wanted = self.submission(
            {} if payload is None else payload, None, filling, on_progress=on_progress, timeout=timeout,
            extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
        )  # fmt: skip
        run = self._submissions.make(wanted, observed=False)
        history = await run.perform()
        return RunResult(run.prompt_id, self._server.outputs(history), run.seconds, history)

    async def submit_filled(
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
        """Submit what ``filling`` makes of ``payload``; returns as soon as the server has it."""
        wanted = self.submission(
            {} if payload is None else payload, use_workflow_json, filling, timeout=timeout,
            extra_data=extra_data, allow_paid=allow_paid, api_key=api_key,
        )  # fmt: skip
        run = self._submissions.make(wanted, observed=True)
        run.begin()
        await run.wait_announced()
        return Run(run, self._server.outputs)

    async def find(self, prompt_id: str) -> Run:
        """The run of a prompt that the server has."""
        return Run(await self._submissions.find(prompt_id), self._server.outputs)

    def filling(
        self, values: Mapping[str, Any] | None, files: Mapping[str, UploadContent] | None, allow_paid: bool | None
    ) -> PayloadFilling:
        """Sets values and uploads files for one run, once it is known that its nodes may run. Raises ArgumentError."""
        check_mapping("values", values, "selectors and values")
        check_mapping("files", files, "selectors and files")

        async def check(graph: JsonObject) -> None:
            self.refuse_paid(graph, await self._server.node_definitions(), allow_paid=allow_paid)
            if isinstance(graph, EditedWorkflow) and any(one.deferred for one in graph.sets):
                await self._prompts.from_workflow(graph)

        return PayloadFilling(
            own_copy(values or {}), files, edit=self._server.editor, uploads=self._uploads, check=check
        )

    def refuse_paid(self, graph: JsonObject, definitions: Mapping[str, Any], *, allow_paid: bool | None) -> None:
        """Raise PaidNodesError if a workflow or prompt has nodes that cost money, and may not run them."""
        spending(self._settings, allow_paid=allow_paid).extra_data(None, partner_nodes(graph, definitions))
