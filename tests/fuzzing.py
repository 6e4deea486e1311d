"""What the parsers are fed that must end in a result or in an error of ours: well-formed documents, damaged."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser.made_workflows import PACK_NODES, all_made
from hypothesis import strategies as st
from port_workflows import Graph, as_schema_1

from discomfort import _json
from discomfort.client import outcomes as errors
from discomfort.client import protocol
from discomfort.client.outputs import collect_outputs
from discomfort.client.run_times import RunTimes
from discomfort.client.runs import PromptRun
from discomfort.config import load_settings
from discomfort.conversion import explanation, workflow_text
from discomfort.conversion.environment import Environment
from discomfort.exceptions import DiscomfortError
from discomfort.files.journal import Journal
from discomfort.server_features import server_features
from discomfort.workflow import Editor, check_prompt, iterate, missing_nodes, parse_payload, payload_from_png, unwrap
from discomfort.workflow.compilation import Literal, Recipe, Sink, ValueNode, compiled
from discomfort.workflow.extra_data import check_extra_data
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.references import Reference, with_content_ids
from discomfort.workflow_tools import WorkflowTools

Json = Any
KNOWN = {
    **PACK_NODES,
    "EmptyImage": {"input": {"required": {"width": ["INT", {"min": 1, "max": 9}], "mode": [["a", "b"], {}]}}},
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "kind": ["COMBO", {"options": ["x", "y"]}]}, "optional": {}},
        "output_node": True,
    },
}
PROMPT: Json = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 4, "mode": "a"}, "_meta": {"title": "Empty"}},
    "2": {"class_type": "PackSerialized", "inputs": {"text": "t", "count": 2, "image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "kind": "x"}, "is_changed": ["1"]},
}
INTRODUCTION: Json = {
    "stats": {"system": {"comfyui_version": "0.33.0", "deploy_environment": "x"}},
    "features": {"extension": {"manager": {"supports_v4": True}}, "node_replacements": True, "assets": False},
    "replacements": {
        "OldSave": [{"new_node_id": "SaveImage", "input_mapping": [{"new_id": "images", "old_id": "pictures"}]}]
    },
}
_STATUS = {
    "status_str": "error",
    "completed": False,
    "messages": [
        ["execution_start", {"prompt_id": "p", "timestamp": 1}],
        ["execution_error", {"node_id": "2", "node_type": "Bad", "exception_type": "E", "traceback": ["a", "b"]}],
    ],
}
HISTORY: Json = {
    "p": {
        "prompt": [0, "p", PROMPT, {"extra_pnginfo": {}}, ["3"]],
        "outputs": {
            "3": {
                "images": [{"filename": "a.png", "subfolder": "s", "type": "output", "format": "video/mp4"}],
                "animated": [True],
                "text": ["words"],
            },
            "2.0.1": {"value": 3.5},
        },
        "status": _STATUS,
        "meta": {"2.0.1": {"node_id": "2", "display_node": "2", "parent_node": None}},
    }
}
REFUSAL: Json = {
    "error": {"type": "prompt_outputs_failed_validation", "message": "m", "details": "d", "extra_info": {}},
    "node_errors": {
        "3": {
            "class_type": "SaveImage",
            "dependent_outputs": ["3"],
            "errors": [
                {
                    "type": "value_not_in_list",
                    "message": "m",
                    "details": "d",
                    "extra_info": {"input_name": "kind", "input_config": [["x"], {"min": 1}], "received_value": "z"},
                }
            ],
        }
    },
}
QUEUE: Json = {"queue_running": [[0, "p", PROMPT, {}, ["3"]]], "queue_pending": [[2, "q", {}, {}, []], [1, "r", {}]]}
MESSAGES: Json = [
    {"type": "execution_start", "data": {"prompt_id": "p", "timestamp": 1}},
    {"type": "execution_cached", "data": {"prompt_id": "p", "nodes": ["1", "2"]}},
    {"type": "executing", "data": {"prompt_id": "p", "node": "2", "display_node": "2"}},
    {"type": "progress", "data": {"prompt_id": "p", "node": "2", "value": 1, "max": 9}},
    {
        "type": "progress_state",
        "data": {
            "prompt_id": "p",
            "nodes": {"2": {"value": 1.0, "max": 2.0, "state": "running", "node_id": "2", "display_node_id": "2"}},
        },
    },
    {"type": "executed", "data": {"prompt_id": "p", "node": "3", "display_node": "3", "output": {"images": []}}},
    {"type": "execution_error", "data": {"prompt_id": "p", "node_id": "2", "exception_type": "ExecutionBlocked"}},
    {"type": "executing", "data": {"prompt_id": "p", "node": None}},
]
CONFIGURATION: Json = {
    "API_COMMAND_LINE": "python3 main.py --cpu",
    "API_URL": "127.0.0.1",
    "INITIAL_PORT": 8188,
    "MAX_COMFY_START_ATTEMPTS": 10,
    "COMFY_START_ATTEMPTS_SLEEP": 1.0,
    "TEST_PAYLOAD_FILE": "test_server.json",
    "PROMPT_CACHE": "off",
    "CANCEL_RESTART_AFTER": 5,
    "ENGINE": "auto",
}
JOURNAL: Json = [
    {"op": "add", "kind": "file", "root": "/tmp", "path": "/tmp/a", "inode": 1, "size": 2, "mtime_ns": 3},
    {"op": "drop", "path": "/tmp/a"},
]

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "p", "1", "3", "../x", "\0", "SaveImage", "12:5", "nodes", "a.png", "\ud800", "inf"])
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["id", "type", "class_type", "inputs"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def _places(document: Json) -> list[tuple[Json, Any]]:
    """Every container of a document with each of its keys."""
    found: list[tuple[Json, Any]] = []
    waiting = [document]
    while waiting:
        container = waiting.pop()
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            found.append((container, key))
            if isinstance(value, (dict, list)):
                waiting.append(value)
    return found


@st.composite
def damaged(draw: st.DrawFn, documents: list[Json]) -> Json:
    """One of the documents with up to four places replaced, removed, renamed, or filled from another place."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 4))):
        places = _places(document)
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename", "copy"]))
        if change == "replace":
            container[key] = draw(JSON)
        elif change == "remove":
            del container[key]
        elif change == "rename" and isinstance(container, dict):
            container[draw(st.text(max_size=6))] = container.pop(key)
        else:
            other, place = places[draw(st.integers(0, len(places) - 1))]
            container[key] = copy.deepcopy(other[place]) if place in _keys(other) else draw(JSON)
    return document


def _keys(container: Json) -> Any:
    return container if isinstance(container, dict) else range(len(container))


@st.composite
def torn(draw: st.DrawFn, documents: st.SearchStrategy[Json]) -> bytes:
    """A document as bytes with some of them cut out, changed or repeated; or no document at all."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.binary(max_size=200) | st.just(b"[" * 5000) | st.just(b'{"a":' * 3000) | st.just(b"9" * 6000))
    data = json.dumps(draw(documents), default=str).encode()
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        data = data[:start] + draw(st.binary(max_size=8) | st.sampled_from([b"NaN", b"\xff\xfe", b"\0"])) + data[end:]
    return data


@dataclass(frozen=True)
class Target:
    """One parser: what it is fed, and the call. ``feed`` raises nothing that is an error of ours."""

    name: str
    strategy: st.SearchStrategy[Any]
    call: Callable[[Any], object]
    also: tuple[type[Exception], ...] = ()
    """What the called code documents beside errors of ours."""

    def feed(self, value: Any) -> bool:
        """Call it; whether it gave a result rather than an error of ours."""
        try:
            self.call(value)
        except (DiscomfortError, *self.also) as error:
            str(error)
            return False
        return True


def _read_text(data: bytes) -> None:
    kind, graph = unwrap(parse_payload(data))
    (use_workflow if kind == "workflow" else use_prompt)(graph)


def _read_png(data: bytes) -> None:
    text = b"workflow\0\0" + zlib.compress(data)
    chunks = [(b"IHDR", b"\0" * 13), (b"zTXt", text), (b"tEXt", b"prompt\0" + data[:50]), (b"IEND", b"")]
    parts = [struct.pack(">I4s", len(body), kind) + body + b"\0\0\0\0" for kind, body in chunks]
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    with contextlib.suppress(DiscomfortError):
        payload_from_png(b"\x89PNG\r\n\x1a\n" + data)
    payload_from_png(picture[: len(picture) - len(data) % 7 // 6])


def use_workflow(workflow: Json) -> None:
    """Everything that is done with a workflow before a browser sees it, and to explain what it made."""
    kind, graph = unwrap(workflow)
    if kind == "prompt":
        use_prompt(graph)
        return
    list(iterate(graph))
    missing_nodes(graph, KNOWN)
    missing_nodes(graph, KNOWN, include_inactive=True)
    _edit(graph)


def _convert(workflow: Json) -> None:
    workflow_text.encode(workflow)
    explanation.node_fates(workflow, PROMPT)
    explanation.links_to_nowhere(workflow)
    explanation.links_to_nowhere(workflow, PROMPT)
    workflow_text.missing_on_page(workflow, {"1": "A", "10:3": None, "3:0:1": None})


def _edit(graph: Json) -> None:
    for definitions in (None, KNOWN):
        editor = Editor(graph, definitions)
        for selector in editor.selectors()[:20]:
            try:
                editor.set(selector, editor.get(selector))
            except DiscomfortError as error:
                str(error)


def use_prompt(prompt: Json) -> None:
    """What is done with a prompt before it is sent."""
    if not isinstance(prompt, dict):
        return
    for definitions in (None, KNOWN):
        try:
            checked = check_prompt(prompt, definitions)
        except DiscomfortError as error:
            str(error)
        else:
            _json.dumps(checked)
            protocol.executable_nodes(checked, definitions)
    _edit(prompt)


def _judge_definitions(definitions: Json) -> None:
    if not isinstance(definitions, dict):
        return
    for name in ("1", "2", "3"):
        protocol.title_and_class(PROMPT, name)
    protocol.executable_nodes(PROMPT, definitions)
    try:
        check_prompt(PROMPT, definitions)
    finally:
        Editor(PROMPT, definitions).selectors()


def _take_environment(data: bytes) -> None:
    taken = Environment.of({"settings": b"{}"}, data)
    taken.depends_on_file_lists({"nodes": []}, PROMPT)


def _judge_output(output: Json) -> None:
    workflow = all_made()["modes"]
    if isinstance(output, dict):
        workflow_text.check_output(workflow, output, {})
        explanation.node_fates(workflow, output)
        explanation.links_to_nowhere(workflow, output)
        Environment("", "", {"SaveImage": frozenset({"images"})}).depends_on_file_lists(workflow, output)


def _judge_history(history: Json) -> None:
    """What is done with an answer of ``/history/{id}``, once it is an object."""
    if not isinstance(history, dict):
        return
    for prompt_id, record in history.items():
        if isinstance(record, dict):
            failure = errors.verdict(prompt_id, record)
            repr(failure)
            str(failure)
            RunTimes().note_record(record)
    for output in collect_outputs(history, None):
        repr(output)
        output._default_name()


def _judge_refusal(answer: Json) -> None:
    if isinstance(answer, dict):
        for definitions in (None, KNOWN):
            str(errors.refusal(PROMPT, "p", answer, definitions))
            nodes = answer.get("node_errors")
            if isinstance(nodes, dict):
                str(errors.partial_refusal(PROMPT, "p", nodes, definitions))


def _judge_queue(queue: Json) -> None:
    if isinstance(queue, dict):
        protocol.queue_positions(queue)
        protocol.running_prompts(queue)
        protocol.accepted_times(queue)


def _judge_introduction(answers: Json) -> None:
    """What is done with ``/system_stats``, ``/features`` and ``/node_replacements``."""
    if not isinstance(answers, dict):
        return
    stats, features, replacements = (answers.get(name) for name in ("stats", "features", "replacements"))
    found = server_features(
        stats if isinstance(stats, dict) else None, features if isinstance(features, dict) else None
    )
    found.to_dict()
    prompt = {**PROMPT, "4": {"class_type": "OldSave", "inputs": {"pictures": ["2", 0]}}}
    _json.dumps(
        check_prompt(
            prompt, KNOWN, features=found, replacements=replacements if isinstance(replacements, dict) else None
        )
    )


def _judge_extra_data(extra: Json) -> None:
    _json.dumps(check_extra_data(extra))


def _hear(frames: list[bytes]) -> None:
    """Frames of all kinds for one run whose caller wants to know everything."""

    async def listen() -> None:
        run = PromptRun("p", PROMPT, lambda event: str(event), lambda: None)  # noqa: PLW0108 - a callback of one argument
        for data in frames:
            message = protocol.decode_text(data)
            frame = protocol.decode_binary(data)
            for each in (message, frame):
                if isinstance(each, protocol.Message | protocol.PreviewFrame):
                    run.receive(each)

    asyncio.run(listen())


def _configure(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "configuration.json")
        path.write_bytes(data)
        settings = load_settings(path)
        assert settings.connect_host
        repr(settings)


def _configure_by_arguments(values: Json) -> None:
    if isinstance(values, dict):
        load_settings(os.devnull if values.pop("", None) else None, **{str(key): v for key, v in values.items()})


def _recover(lines: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "4194303-0.0.jsonl").write_bytes(lines)
        journal = Journal(Path(folder))
        journal.abandoned()
        journal.recover()


def nested(depth: int, *, closed: bool) -> Json:
    """Subgraphs that each hold the next one twice; ``closed``: the last one the first."""
    inner = [
        {
            "id": f"s{level}",
            "name": f"level {level}",
            "nodes": [{"id": n, "type": f"s{(level + 1) % depth if closed else level + 1}"} for n in (1, 2)],
            "links": [],
        }
        for level in range(depth)
    ]
    return {"nodes": [{"id": 1, "type": "s0"}], "links": [], "definitions": {"subgraphs": inner}}


def ported() -> Json:
    """A workflow with ports, one of them in a subgraph, with reroutes of both kinds, a group node, and App Mode."""
    inner = Graph()
    inner.expose("inputs", "image", "*")
    scale = inner.add("Scale", "image:IMAGE by:FLOAT", "IMAGE:IMAGE")
    inner.link(-10, 0, scale, 0)
    inner.input("factor", scale, 1)
    inner.output("scaled", scale)
    graph = Graph()
    graph.subgraphs = [inner.definition("inner")]
    host, load, reroute = (
        graph.add("inner", "image:*"),
        graph.add("Load", "", "x:IMAGE"),
        graph.add("Reroute", ":*", ":*"),
    )
    graph.link(load, 0, reroute)
    graph.link(reroute, 0, host)
    graph.output("image", load)
    graph.input("scaled", graph.add("workflow>pair", "x:IMAGE"))
    dots = [{"id": 1, "pos": [1, 1], "linkIds": [1]}, {"id": 2, "parentId": 1, "pos": [2, 2], "linkIds": [1]}]
    graph.extra = {
        "groupNodes": {"pair": {"nodes": [{"type": "DiscomfortPort"}]}},
        "reroutes": dots,
        "linkExtensions": [{"id": 1, "parentId": 2}],
        "linearData": {"inputs": [[1, "x"]], "outputs": [2]},
    }
    floating = {"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": -1, "target_slot": -1, "parentId": 1}
    graph.more = {"groups": [{"id": 1, "bounding": [0, 0, 1, 1]}], "floatingLinks": [floating]}
    return graph.workflow()


def _use_ports(workflow: Json) -> None:
    """Everything that the tools do with a workflow."""
    if not isinstance(workflow, dict):
        return
    tools, good = WorkflowTools(), ported()
    for call in (
        lambda: tools.discover_port_nodes(workflow),
        lambda: tools.stitch_workflows([workflow, good], delete_input_ports=True),
        lambda: tools.stitch_workflows([good, workflow]),
        lambda: tools._prune_workflow_to_output(workflow, "scaled"),
        lambda: tools._get_workflow_with_reroutes_removed(workflow),
        lambda: tools._delete_passthru_ports([workflow]),
        lambda: tools._discover_context_handlers(workflow),
    ):
        with contextlib.suppress(DiscomfortError):
            call()
    assert tools.validate_workflow(workflow) in (True, False)


def _compile(prompt: Json) -> None:
    """Its ports are bound to each kind of value, and its nodes named by content."""
    kind, graph = unwrap(prompt)
    if kind != "prompt":
        return
    ports = prompt_ports(graph, KNOWN, ported())
    for binding in (
        Literal(1),
        ValueNode("Value", {}, "INT"),
        Recipe({"r": {"class_type": "A", "inputs": {}}}, ("r", 0)),
    ):
        sinks = {name: Sink("Save") for name in ports.outputs()}
        with contextlib.suppress(DiscomfortError):
            compiled(graph, ports, dict.fromkeys(ports.inputs(), binding), sinks)
    for node_id in graph:
        with contextlib.suppress(DiscomfortError):
            with_content_ids(graph, [(node_id, 0)], "w")


PORTED_PROMPT: Json = {
    "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "seed"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "kind": ["1", 0]}},
    "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "image", "input_data": ["4", 0]}},
    "4": {"class_type": "EmptyImage", "inputs": {"width": ["1", 0], "mode": "a"}},
    "5": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "out", "input_data": ["4", 0]}},
}
_WORKFLOWS = damaged([*all_made().values(), nested(3, closed=True), nested(7, closed=False)])
_FRAMES = st.one_of(
    damaged(MESSAGES).map(lambda message: json.dumps(message, default=str).encode()),
    torn(damaged(MESSAGES)),
    st.tuples(st.sampled_from([1, 2, 3, 4, 9]), st.integers(0, 60), torn(damaged(MESSAGES))).map(
        lambda found: struct.pack(">II", found[0], found[1]) + found[2]
    ),
)
TARGETS = [
    Target("payload text", torn(st.one_of(_WORKFLOWS, damaged([PROMPT]))), _read_text),
    Target("picture", torn(damaged([PROMPT])), _read_png),
    Target("workflow", _WORKFLOWS, use_workflow),
    Target("workflow with ports", damaged([ported(), as_schema_1(ported())]), _use_ports),
    Target("prompt with ports", damaged([PORTED_PROMPT]), _compile),
    Target("reference", damaged([dict(Reference(PROMPT, ("2", 0)))]), Reference.read),
    Target("workflow to convert", _WORKFLOWS, _convert),
    Target("prompt", damaged([PROMPT, {"prompt": PROMPT}]), use_prompt),
    Target("node definitions", damaged([KNOWN]), _judge_definitions),
    Target("node definitions as text", torn(damaged([KNOWN])), _take_environment, (ValueError,)),
    Target("converted prompt", damaged([PROMPT]), _judge_output),
    Target("history", damaged([HISTORY]), _judge_history),
    Target("refusal", damaged([REFUSAL]), _judge_refusal),
    Target("queue", damaged([QUEUE]), _judge_queue),
    Target("version and features", damaged([INTRODUCTION]), _judge_introduction),
    Target("extra data", damaged([{"extra_pnginfo": {"workflow": {"id": "w"}}, "a": 1}]), _judge_extra_data),
    Target("socket frames", st.lists(_FRAMES, max_size=8), _hear),
    Target("configuration file", torn(damaged([CONFIGURATION])), _configure),
    Target("configuration", damaged([CONFIGURATION]), _configure_by_arguments),
    Target("journal", st.lists(torn(damaged(JOURNAL)), max_size=4).map(b"\n".join), _recover),
]
