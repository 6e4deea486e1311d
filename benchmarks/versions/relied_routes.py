"""Routes that the client, the gateway and the frontend use: what both servers answer.

Each is asked once for its status, the headers that matter, and its body: its values, or the types of its values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.parity import routes
from benchmarks.parity.routes import Ask, form
from benchmarks.parity.samples import pictures
from benchmarks.parity.servers import Server
from benchmarks.versions.drift_report import ONLY_A, ONLY_B, Finding, compared, shown
from benchmarks.versions.value_kinds import kinds

HEADERS = (*routes.HEADERS, "X-Content-Type-Options", "Vary", "Content-Security-Policy")
CLIENT, FRONTEND = "used by the client", "used by the frontend"
PROMPT_ID, JOB_ID, UNKNOWN_ID = (f"d41f0000-0000-4000-8000-00000000000{digit}" for digit in "123")
NO_ROUTE = (404, 405)


def prompt_body(prompt_id: str, value: str, **fields: Any) -> bytes:
    """The body that queues one picture and one text."""
    empty = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": empty, "_meta": {"title": "Empty"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "drift"}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": value}},
    }
    extra = {"extra_pnginfo": {"workflow": {"id": UNKNOWN_ID, "nodes": []}}, "api_key_comfy_org": "key"}
    return json.dumps({"prompt": graph, "prompt_id": prompt_id, "extra_data": extra} | fields).encode()


def asks() -> Iterator[Ask]:
    """All requests, in order: some make what later ones read."""
    yield from of_client()
    yield from of_frontend()


def of_client() -> Iterator[Ask]:
    """Requests of the client and of the connector."""
    for path, look in (
        ("/system_stats", "keys"), ("/features", "all"), ("/prompt", "all"), ("/queue", "keys"), ("/history", "keys"),
        (f"/history/{PROMPT_ID}", "keys"), ("/history/none", "all"), ("/history?max_items=1&offset=0", "keys"),
        ("/object_info/EmptyImage", "keys"), ("/object_info/LoadImage", "keys"), ("/object_info/Unknown", "all"),
        ("/object_info", "nothing"), ("/models", "all"), ("/embeddings", "all"), ("/models/loras", "all"),
        ("/internal/folder_paths", "keys"), ("/internal/logs", "nothing"), ("/internal/files/output", "all"),
        ("/view?filename=drift_00001_.png&type=output", "nothing"), ("/view?filename=none.png&type=output", "all"),
        ("/view?filename=drift_00001_.png&type=output&preview=webp", "nothing"),
        ("/", "nothing"), ("/ws", "nothing"),
    ):  # fmt: skip
        yield Ask(CLIENT, path, look=look)
    for path, body in (
        ("/prompt", b"{}"), ("/prompt", b"{"), ("/prompt", b'{"prompt": {}}'), ("/prompt", b'{"prompt": []}'),
        ("/prompt", b'{"prompt": {"1": "x"}}'),
        ("/prompt", b'{"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}'),
        ("/prompt", b'{"prompt": {"1": {"inputs": {}}}}'),
        ("/prompt", b'{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {}}}}'),
        ("/prompt", b'{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}}'),
        ("/prompt", b'{"prompt": {"1": {"class_type": "PreviewAny", "inputs": {"source": 1}}}, "prompt_id": "x"}'),
        ("/interrupt", b"{}"), ("/interrupt", b""), ("/interrupt", b'{"prompt_id": "x"}'), ("/free", b"{}"),
        ("/queue", b'{"delete": ["x"]}'), ("/queue", b'{"clear": true}'), ("/history", b'{"delete": ["x"]}'),
        (f"/api/jobs/{JOB_ID}/cancel", b""), ("/api/jobs/cancel", json.dumps({"job_ids": [JOB_ID]}).encode()),
    ):  # fmt: skip
        yield Ask(CLIENT, path, "POST", body, look="all")
    for route in ("image", "mask"):
        reference = () if route == "image" else (("original_ref", "", b'{"filename": "up.png", "type": "input"}'),)
        body, headers = form(("image", "up.png", pictures()["p_alpha.png"]), *reference)
        yield Ask(CLIENT, f"/upload/{route}", "POST", body, headers, "all")
    yield Ask(CLIENT, "/prompt", headers=(("Sec-Fetch-Site", "cross-site"),), look="nothing")
    yield Ask(CLIENT, "/prompt", headers=(("Origin", "http://evil.example"),), look="nothing")


def of_frontend() -> Iterator[Ask]:
    """Requests of a page that starts and is used, by any frontend since 1.27."""
    for path, look in (
        ("/api/users", "all"), ("/api/settings", "all"), ("/api/extensions", "nothing"), ("/api/i18n", "keys"),
        ("/api/system_stats", "keys"), ("/api/features", "all"), ("/api/queue", "keys"), ("/api/history", "keys"),
        ("/api/userdata?dir=workflows&recurse=true&split=false&full_info=true", "keys"),
        ("/api/userdata?dir=subgraphs&recurse=true&split=false&full_info=true", "keys"),
        ("/api/userdata/comfy.templates.json", "nothing"), ("/api/userdata/user.css", "nothing"),
        ("/user.css", "nothing"), ("/api/object_info", "nothing"), ("/api/node_replacements", "keys"),
        ("/api/global_subgraphs", "keys"), ("/api/global_subgraphs/none", "all"),
        ("/api/jobs?status=in_progress,pending&limit=200&offset=0", "keys"),
        ("/api/jobs?status=completed,failed,cancelled&limit=64&offset=0", "keys"),
        (f"/api/jobs/{PROMPT_ID}", "keys"), (f"/api/jobs/{UNKNOWN_ID}", "all"), ("/api/jobs?status=nope", "all"),
        ("/api/jobs?limit=0", "all"), ("/api/assets", "all"), ("/api/tags", "all"),
        ("/api/workflow_templates", "all"), ("/templates/index.json", "nothing"), ("/templates/none.json", "nothing"),
        ("/api/experiment/models", "keys"), ("/api/experiment/models/loras", "all"),
        ("/api/view_metadata/loras?filename=none.safetensors", "all"),
        ("/api/view?filename=drift_00001_.png&type=output", "nothing"),
        ("/extensions/core/groupNode.js", "nothing"), ("/scripts/app.js", "nothing"), ("/scripts/ui.js", "nothing"),
        ("/docs/KSampler/en.md", "nothing"), ("/internal/logs/raw", "keys"), ("/nothing", "nothing"),
    ):  # fmt: skip
        yield Ask(FRONTEND, path, look=look)
    for path, method, body in (
        ("/api/settings/Comfy.InstalledVersion", "POST", b'"1"'), ("/api/settings", "POST", b'{"a": 1}'),
        ("/api/userdata/workflows%2Fw.json?overwrite=true&full_info=true", "POST", b"{}"),
        ("/api/userdata/workflows%2Fw.json", "GET", b""), ("/api/v2/userdata?path=workflows", "GET", b""),
        ("/api/userdata/workflows%2Fw.json/move/workflows%2Fx.json", "POST", b""),
        ("/api/userdata/workflows%2Fx.json", "DELETE", b""),
        ("/internal/logs/subscribe", "PATCH", b'{"clientId": "x", "enabled": false}'),
    ):  # fmt: skip
        yield Ask(FRONTEND, path, method, body, look="keys")


def answers(server: Server) -> dict[str, Any]:
    """What a server answers to each request, by group and request; a run precedes them, so that there is a history."""
    server.send("/prompt", prompt_body(PROMPT_ID, "one"))
    server.record(PROMPT_ID)
    found = {}
    for ask in asks():
        answer = routes.answer(server, ask._replace(look="nothing" if ask.look == "nothing" else "all"), HEADERS)
        content = answer.get("body")
        if ask.path == "/prompt" and isinstance(content, dict) and "prompt_id" in content:
            # What comes next is not asked while something runs.
            server.record(content["prompt_id"])
        if ask.look == "keys":
            answer["body"] = content if isinstance(content, str) else kinds(content)
        body = f" {ask.body[:70].decode()}" if ask.body and ask.body.isascii() and not ask.headers else ""
        special = "".join(f" ({name}: {value})" for name, value in ask.headers if name != "Content-Type")
        found[f"{ask.method} {ask.path}{body}{special}"] = (ask.group, answer)
    return found


def compare(a: Server, b: Server) -> dict[str, list[Finding]]:
    """All requests to both servers, by who uses them."""
    groups: dict[str, list[Finding]] = {}
    theirs = answers(b)
    for subject, (group, one) in answers(a).items():
        other = theirs[subject][1]
        groups.setdefault(f"routes {group}", []).append(finding(subject, one, other))
    return groups


def finding(subject: str, one: Any, other: Any) -> Finding:
    """One request: a route may exist on one side only."""
    missing = [answer["status"] in NO_ROUTE for answer in (one, other)]
    if missing[0] != missing[1]:
        there = other if missing[0] else one
        details = (f"status: {one['status']} → {other['status']}", f"body: {shown(there.get('body'))}")
        return Finding(subject, ONLY_B if missing[0] else ONLY_A, details)
    return compared(subject, one, other)
