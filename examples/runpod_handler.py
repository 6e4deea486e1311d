"""A handler for RunPod: ``input`` has ``values`` and ``images`` (base64), both by NODE.INPUT of ``workflow.json``."""

import base64
from typing import Any

import runpod

from discomfort import DiscomfortError, ServerDiedError, SyncConnector
from discomfort.progress import NodeStarted, ProgressEvent, Step

connector = SyncConnector.create()  # before the first job


def handler(job: dict[str, Any]) -> dict[str, Any]:
    def report(event: ProgressEvent) -> None:
        if isinstance(event, NodeStarted | Step):
            runpod.serverless.progress_update(job, event.to_dict())

    given = job["input"]
    files = {selector: base64.b64decode(data) for selector, data in given.get("images", {}).items()}
    try:
        result = connector.run("workflow.json", given.get("values"), files, on_progress=report, timeout=600)
        return {"images": [base64.b64encode(output.read()).decode() for output in result.files]}
    except DiscomfortError as error:
        return {"error": str(error), "refresh_worker": isinstance(error, ServerDiedError)}


runpod.serverless.start({"handler": handler})
