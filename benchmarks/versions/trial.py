"""One attempt to harm a server of its own: what is sent, how its run ends, and whether the server goes on."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from typing import Any

from benchmarks.parity.bodies import node
from benchmarks.parity.servers import Server

END_SECONDS = 60.0
"""For the end of a tiny run; a server that has not ended it by then is taken for one that never will."""
DEAD_WORKER = "Exception in thread"


class Trial:
    """A server that was started for one trap."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def send(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request: status and body; status 0 where the server ends the connection or is gone."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return self.server.send(path, data, headers=named)
        except (OSError, http.client.HTTPException):
            return 0, b""

    def post(self, body: Any) -> tuple[int, str]:
        """A prompt is sent: the status, and the prompt's id or what is said against it."""
        status, text = self.send("/prompt", json.dumps(body).encode())
        try:
            content = json.loads(text)
        except ValueError:
            return status, ""
        if status == 200:
            return status, str(content["prompt_id"])
        errors = [error["type"] for about in content.get("node_errors", {}).values() for error in about["errors"]]
        return status, ", ".join([content["error"]["type"], *sorted(set(errors))])

    def run(self, graph: Any, **fields: Any) -> str:
        """A prompt is sent: what is answered, how the run ends, and whether the server goes on."""
        return self.after(*self.post({"prompt": graph, "prompt_id": str(uuid.uuid4()), **fields}))

    def after(self, status: int, told: str) -> str:
        """In words, what followed an answer."""
        words = [str(status or "no answer") + (f" {told}" if told and status != 200 else "")]
        if status == 200:
            words.append(self.end(told))
        return "; ".join(dict.fromkeys([*words, self.state()]))

    def end(self, prompt_id: str) -> str:
        """How a run ends: by its record, or with the server, or not at all."""
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if died := self.died():
                return died
            status, text = self.send(f"/history/{prompt_id}")
            if status == 500:
                return "its history is 500"
            if status == 200 and prompt_id in (found := json.loads(text)):
                return ended(found[prompt_id])
            time.sleep(0.02)
        return "the run never ends"

    def died(self) -> str:
        """What of the server is dead, in words; empty where nothing is known to be."""
        process = self.server.process
        if process is not None and process.poll() is not None:
            return f"the process ends with {process.returncode}"
        return "the worker dies" if DEAD_WORKER in self.server.log() else ""

    def state(self) -> str:
        """Whether another prompt still runs."""
        if died := self.died():
            return died
        status, told = self.post({"prompt": {"1": node("PreviewAny", source=uuid.uuid4().hex)}})
        if status != 200:
            return self.died() or f"the next prompt: {status or 'no answer'}"
        end = self.end(told)
        return "goes on" if end == "success" else self.died() or f"the next prompt: {end}"


def ended(record: dict[str, Any]) -> str:
    """The end of a run as its record and its last message say."""
    status = str(record["status"]["status_str"])
    kind, data = record["status"]["messages"][-1]
    return status if kind == "execution_success" else f"{status}, last message {kind} {data.get('exception_type', '')}"
