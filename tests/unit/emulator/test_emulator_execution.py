"""Execution: order, caching, lists, lazy and expanding nodes, failures, interrupts, and messages."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import uuid
from typing import Any

import pytest

N = Any


def short(events: list[tuple[str, Any]]) -> list[str]:
    """Events as short texts."""
    result = []
    for kind, data in events:
        if kind == "progress_state":
            states = ",".join(f"{node}:{state['state']}" for node, state in data["nodes"].items())
            result.append(f"state {states}")
        elif kind in ("executing", "executed"):
            result.append(f"{kind} {data['node']}")
        else:
            result.append(kind)
    return result


def texts(record: Any, node_id: str) -> list[str]:
    """The texts that a PreviewAny showed."""
    found: list[str] = record["outputs"][node_id]["text"]
    return found


async def test_normal_run_sends_comfyuis_sequence(emulator: N, make: N, make_image: N) -> None:
    """The messages of a run with two outputs come in ComfyUI's order."""
    graph = {
        "1": make_image(),
        "2": make("ImageInvert", image=["1", 0]),
        "3": make("SaveImage", images=["2", 0], filename_prefix="a"),
        "4": make("PreviewImage", images=["1", 0]),
    }

    events, record = await emulator.run(graph)

    done = "1:finished,4:finished"
    assert short(events) == [
        "execution_start",
        "execution_cached",
        "state 1:running",
        "executing 1",
        "state 1:finished",
        "state 1:finished,4:running",
        "executing 4",
        "executed 4",
        f"state {done}",
        f"state {done},2:running",
        "executing 2",
        f"state {done},2:finished",
        f"state {done},2:finished,3:running",
        "executing 3",
        "executed 3",
        f"state {done},2:finished,3:finished",
        "execution_success",
        "executing None",
    ]
    assert record["status"]["status_str"] == "success"
    assert record["outputs"]["3"] == {"images": [{"filename": "a_00001_.png", "subfolder": "", "type": "output"}]}
    assert record["meta"]["3"] == {"node_id": "3", "display_node": "3", "parent_node": None, "real_node_id": "3"}
    assert [message[0] for message in record["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]


async def test_cached_run_repeats_outputs_without_executing(emulator: N, make: N, make_image: N) -> None:
    """A repeated prompt reports its outputs again, under other node ids too, and runs nothing."""
    first = {"1": make_image(7), "2": make("PreviewImage", images=["1", 0])}
    second = {"11": make_image(7), "12": make("PreviewImage", images=["11", 0])}
    _, before = await emulator.run(first)

    events, record = await emulator.run(second)

    assert short(events) == [
        "execution_start",
        "execution_cached",
        "executed 12",
        "state 12:finished",
        "execution_success",
        "executing None",
    ]
    assert events[1][1]["nodes"] == ["11", "12"]
    assert record["outputs"]["12"] == before["outputs"]["2"]


async def test_only_what_changed_runs_again(emulator: N, make: N, nodes: N) -> None:
    """A changed constant re-runs its node and those downstream, and nothing else."""
    graph = {
        "1": make("Count", value=5),
        "2": make("Add", a=["1", 0], b=1),
        "3": make("PreviewAny", source=["2", 0]),
    }
    await emulator.run(graph)
    graph["2"]["inputs"]["b"] = 2

    events, record = await emulator.run(graph)

    assert events[1][1]["nodes"] == ["1"]
    assert texts(record, "3") == ["7"]
    assert nodes["Count"].calls == 1


@pytest.mark.parametrize(
    ("settings", "hit"),
    [
        ({}, False),
        ({"cache": "classic"}, False),
        ({"cache": "lru", "cache_lru": 10}, True),
        ({"cache_ram": (0.0, 0.0)}, True),
        ({"cache_ram": (0.0, 1e9)}, False),
    ],
)
async def test_cache_policy_decides_about_older_prompts(
    launch: N, make: N, nodes: N, settings: dict[str, Any], hit: bool
) -> None:
    """What the latest prompt did not contain is dropped, except by an LRU cache, or while there is enough memory."""
    one = {"1": make("Count", value=1), "2": make("PreviewAny", source=["1", 0])}
    two = {"1": make("Count", value=2), "2": make("PreviewAny", source=["1", 0])}
    async with launch(**settings) as client:
        for graph in (one, two, one):
            await client.run(graph)

    assert nodes["Count"].calls == (2 if hit else 3)


async def test_without_cache_everything_runs(launch: N, make: N, nodes: N) -> None:
    """With ``none``, every node runs each time, equal ones too, and the record lists all that ran."""
    graph = {
        "1": make("Count", value=1),
        "2": make("Count", value=1),
        "3": make("Add", a=["1", 0], b=["2", 0]),
        "4": make("PreviewAny", source=["3", 0]),
    }
    async with launch(cache="none") as client:
        for _ in range(2):
            events, record = await client.run(graph)

    assert nodes["Count"].calls == 4
    assert events[1][1]["nodes"] == []
    assert texts(record, "4") == ["2"]


async def test_without_cache_nodes_run_again_where_they_are_needed_again(launch: N, make: N, nodes: N) -> None:
    """With ``none``, a lazy input whose source has run already makes it run again; expansion works (since 0.23)."""
    graph = {
        "1": make("Count", value=1),
        "2": make("PreviewAny", source=["1", 0]),
        "3": make("Expand", value=["1", 0], fail=False),
        "4": make("Lazy", a=["1", 0], b=["3", 0], second=False),
        "5": make("PreviewAny", source=["4", 0]),
        "6": make("PreviewAny", source=["3", 0]),
    }
    async with launch(cache="none") as client:
        _, record = await client.run(graph)

    assert record["status"]["status_str"] == "success"
    assert {node: texts(record, node) for node in "256"} == {"2": ["1"], "5": ["1"], "6": ["2"]}
    assert nodes["Count"].calls in (2, 3)


@pytest.mark.parametrize(("cache", "calls"), [("ram", 1), ("classic", 2)])
async def test_a_run_whose_first_node_fails_drops_nothing(launch: N, make: N, nodes: N, cache: str, calls: int) -> None:
    """Older results go once a node has run; the classic cache drops them before."""
    graph = {"1": make("Count", value=1), "2": make("PreviewAny", source=["1", 0])}
    failing = {"1": make("Fail", value=1, kind="ValueError"), "2": make("PreviewAny", source=["1", 0])}
    async with launch(cache=cache) as client:
        for prompt in (graph, failing, graph):
            await client.run(prompt)

    assert nodes["Count"].calls == calls


async def test_results_that_a_node_waits_for_survive_every_cache(launch: N, make: N, nodes: N) -> None:
    """With memory short for the running prompt too, nodes still get their inputs; what is dropped runs again."""
    graph = {"1": make("Count", value=1), "2": make("Add", a=["1", 0], b=1), "3": make("PreviewAny", source=["2", 0])}
    async with launch(cache_ram=(1e9, 1e9)) as client:
        for _ in range(2):
            _, record = await client.run(graph)

    assert texts(record, "3") == ["2"]
    assert nodes["Count"].calls == 2


async def test_the_record_lists_what_ran_or_was_reached(launch: N, make: N) -> None:
    """A cached node that is not an output is not in the record, unless its class asks for it; then it is sent again."""

    class Shown:
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"

        @classmethod
        def INPUT_TYPES(cls) -> Any:  # noqa: N802 - ComfyUI's name
            return {"required": {"value": ("INT", {})}}

        def go(self, value: int) -> Any:
            return {"ui": {"text": [str(value)]}, "result": (value,)}

    kept = type("Kept", (Shown,), {"HAS_INTERMEDIATE_OUTPUT": True})
    graph = {
        "1": make("Shown", value=1),
        "2": make("Kept", value=["1", 0]),
        "3": make("PreviewAny", source=["2", 0]),
        "4": make("PreviewAny", source="other"),
    }
    async with launch(extra_nodes={"Shown": Shown, "Kept": kept}) as client:
        _, first = await client.run(graph)
        events, second = await client.run(graph)
        _, third = await client.run(graph, partial_execution_targets=["4"])

    assert set(first["outputs"]) == {"1", "2", "3", "4"}
    assert set(second["outputs"]) == {"2", "3", "4"}
    assert set(third["outputs"]) == {"2", "4"}
    assert short(events)[-3:] == ["executed 2", "execution_success", "executing None"]
    assert second["outputs"]["2"] == {"text": ["1"]}


@pytest.mark.parametrize(("limit", "ran"), [(4, [0, 1, 2]), (1, [0, 1, 0, 2, 0])])
async def test_latest_results_are_kept_run_by_run(launch: N, make: N, nodes: N, limit: int, ran: list[int]) -> None:
    """With ``lru``, whole runs are dropped, oldest first, once the limit is passed."""
    counted = []
    async with launch(cache="lru", cache_lru=limit) as client:
        for value in (0, 1, 0, 2, 0):
            before = nodes["Count"].calls
            await client.run({"1": make("Count", value=value), "2": make("PreviewAny", source=["1", 0])})
            counted += [value] * (nodes["Count"].calls - before)

    assert counted == ran


async def test_what_an_expanding_node_shows_is_kept(launch: N, make: N) -> None:
    """A node with a UI part that expands has both in its record, on the first run and from the cache."""
    from comfyui_emulator import runtime

    class Both:
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"
        CATEGORY = "test"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> N:  # noqa: N802 - ComfyUI's name
            return {"required": {"value": ("INT", {})}}

        def go(self, value: int) -> N:
            graph = runtime.GraphBuilder()
            child = graph.node("PrimitiveInt", value=value)
            return {"ui": {"text": ["both"]}, "result": (child.out(0),), "expand": graph.finalize()}

    async with launch(extra_nodes={"Both": Both}) as client:
        for _ in range(2):
            _, record = await client.run({"1": make("Both", value=1)})
            assert record["outputs"] == {"1": {"text": ["both"]}}


async def test_free_memory_forgets_results(emulator: N, make: N, nodes: N) -> None:
    """``/free`` with ``free_memory`` empties the cache; with ``unload_models`` alone it does not."""
    graph = {"1": make("Count", value=1), "2": make("PreviewAny", source=["1", 0])}
    await emulator.run(graph)
    await emulator.post("/free", json={"unload_models": True})
    await emulator.run(graph)
    assert nodes["Count"].calls == 1

    await emulator.post("/free", json={"free_memory": True})
    await emulator.run({"1": make("Count", value=9), "2": make("PreviewAny", source=["1", 0])})
    await emulator.run(graph)
    assert nodes["Count"].calls == 3


async def test_nan_token_never_hits_the_cache(emulator: N, make: N, nodes: N) -> None:
    """A node whose change token is not equal to itself always runs, as do those downstream."""
    graph = {"1": make("Restless", value=3), "2": make("PreviewAny", source=["1", 0])}
    await emulator.run(graph)

    events, _ = await emulator.run(graph)

    assert events[1][1]["nodes"] == []
    assert nodes["Restless"].calls == 2


async def test_lists_map_and_repeat_their_last_item(emulator: N, make: N) -> None:
    """A node is called once per list element, shorter lists repeat their last one, list nodes get lists."""
    graph = {
        "1": make("Range", start=0, count=3),
        "2": make("Range", start=100, count=2),
        "3": make("Add", a=["1", 0], b=["2", 0]),
        "4": make("PreviewAny", source=["3", 0]),
        "5": make("Sum", a=["3", 0], b=5),
        "6": make("PreviewAny", source=["5", 0]),
    }

    _, record = await emulator.run(graph)

    assert texts(record, "4") == ["100", "102", "103"]
    assert texts(record, "6") == ["30501"]


@pytest.mark.parametrize("second", [False, True])
async def test_lazy_input_runs_only_when_asked_for(emulator: N, make: N, nodes: N, second: bool) -> None:
    """Of two lazy inputs only the requested one is executed, and the node is announced twice."""
    graph = {
        "1": make("Count", value=1),
        "2": make("Restless", value=2),
        "3": make("Lazy", a=["1", 0], b=["2", 0], second=second),
        "4": make("PreviewAny", source=["3", 0]),
    }

    events, record = await emulator.run(graph)

    assert texts(record, "4") == ["2" if second else "1"]
    assert (nodes["Count"].calls, nodes["Restless"].calls) == ((0, 1) if second else (1, 0))
    assert short(events).count("executing 3") == 2


async def test_expansion_runs_children_under_their_parent(emulator: N, make: N) -> None:
    """A returned sub-graph is executed, its nodes shown as the parent, and cached with it."""
    graph = {"1": make("Expand", value=4, fail=False), "2": make("PreviewAny", source=["1", 0])}

    events, record = await emulator.run(graph)

    assert texts(record, "2") == ["5"]
    child = next(data for kind, data in events if kind == "executing" and data["node"] == "1.0.0.1")
    assert child["display_node"] == "1"
    state = [data for kind, data in events if kind == "progress_state"][-1]["nodes"]["1.0.0.1"]
    assert (state["parent_node_id"], state["real_node_id"], state["state"]) == ("1", "1", "finished")
    again, _ = await emulator.run(graph)
    assert "executing 1.0.0.1" not in short(again)


async def test_failure_in_an_expansion_names_the_submitted_node(emulator: N, make: N) -> None:
    """An error in a child is reported under the node that expanded."""
    graph = {"1": make("Expand", value=4, fail=True), "2": make("PreviewAny", source=["1", 0])}

    events, _ = await emulator.run(graph)

    error = next(data for kind, data in events if kind == "execution_error")
    assert (error["node_id"], error["node_type"], error["exception_message"]) == ("1", "Expand", "boom\n")


async def test_blocked_output_is_no_failure(emulator: N, make: N) -> None:
    """A blocker with a message sends an error for the first node it stops, and the run succeeds."""
    graph = {
        "1": make("Block", value=1, message="no"),
        "2": make("Add", a=["1", 0], b=1),
        "3": make("PreviewAny", source=["2", 0]),
    }

    events, record = await emulator.run(graph)

    errors = [data for kind, data in events if kind == "execution_error"]
    assert [(error["node_id"], error["exception_type"]) for error in errors] == [("2", "ExecutionBlocked")]
    assert errors[0]["exception_message"] == "Execution Blocked: no"
    assert "timestamp" not in errors[0]
    assert record["status"]["status_str"] == "success"


async def test_async_nodes_overlap(emulator: N, make: N, nodes: N) -> None:
    """Two coroutine nodes are in progress at the same time, and the later one may end first."""
    later = nodes["Later"]
    later.events = {1: asyncio.Event(), 2: asyncio.Event()}
    later.entered = {1: asyncio.Event(), 2: asyncio.Event()}
    graph = {
        "1": make("Later", value=1),
        "2": make("Later", value=2),
        "3": make("Add", a=["1", 0], b=["2", 0]),
        "4": make("PreviewAny", source=["3", 0]),
    }
    run = asyncio.create_task(emulator.run(graph))
    for entered in later.entered.values():
        await asyncio.wait_for(entered.wait(), 20)
    later.events[2].set()
    later.events[1].set()

    events, record = await run

    assert texts(record, "4") == ["3"]
    assert any(text.count(":running") == 2 for text in short(events))


@pytest.mark.parametrize("kind", ["ValueError", "SystemExit"])
async def test_failing_node_ends_the_run_and_nothing_else(emulator: N, make: N, kind: str) -> None:
    """Anything that a node raises, even SystemExit, ends up in the prompt's record; the next prompt runs."""
    graph = {
        "1": make("Count", value=3),
        "2": make("Fail", value=["1", 0], kind=kind),
        "3": make("PreviewAny", source=["2", 0]),
        "4": make("PreviewAny", source=["1", 0]),
    }

    events, record = await emulator.run(graph)

    kind_of_last, error = record["status"]["messages"][-1]
    assert (record["status"]["status_str"], record["status"]["completed"]) == ("error", False)
    assert kind_of_last == "execution_error"
    assert (error["node_id"], error["node_type"], error["exception_type"]) == ("2", "Fail", kind)
    assert error["exception_message"] == "boom\n"
    assert error["current_inputs"] == {"value": [3], "kind": [kind]}
    assert sorted(error["executed"]) == ["1", "4"]
    assert any("in go" in line for line in error["traceback"])
    assert record["outputs"] == {"4": {"text": ["3"]}}
    assert short(events)[-2:] == ["execution_error", "executing None"]
    _, after = await emulator.run({"1": make("PreviewAny", source="x")})
    assert after["status"]["status_str"] == "success"


async def test_outputs_that_are_not_json_fail_their_node(emulator: N, make: N) -> None:
    """A UI value that JSON cannot hold is an error of that node, and the history stays readable."""
    _, record = await emulator.run({"1": make("BadOutput", value=1)})

    assert record["status"]["messages"][-1][1]["exception_type"] == "TypeError"
    assert await emulator.get("/history")


@pytest.mark.parametrize(
    "damage",
    [
        {"9": {"class_type": "ImageInvert"}},
        {"9": {"class_type": "ImageInvert", "inputs": {"foo": ["99", 0]}}},
        {"2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0], "foo": ["99", 0]}}},
        {"2": {"class_type": "PreviewAny", "inputs": {"source": {"__value__": ["77", 0]}}}},
        {"2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0], "foo": ["2", 0]}}},
    ],
)
async def test_malformed_graph_never_stops_the_worker(emulator: N, make: N, damage: Any) -> None:
    """Graphs that end ComfyUI's worker only fail here, and the next prompt runs."""
    graph = {"1": make("Count", value=3), "2": make("PreviewAny", source=["1", 0])} | damage

    _, record = await emulator.run(graph)

    assert record["status"]["status_str"] in ("success", "error")
    _, after = await emulator.run({"1": make("PreviewAny", source="x")})
    assert after["status"]["status_str"] == "success"


async def test_equal_number_and_id_both_run(emulator: N, make: N, nodes: N) -> None:
    """Two prompts with the same number and the same id are both executed."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    await emulator.submit({"1": make("Gate", value=1), "2": make("PreviewAny", source=["1", 0])})
    assert await asyncio.to_thread(gate.entered.wait, 20)
    for value in (1, 2):
        graph = {"1": make("Count", value=value), "2": make("PreviewAny", source=["1", 0])}
        assert (await emulator.submit(graph, number=5, prompt_id=str(uuid.UUID(int=5))))[0] == 200
    gate.leave.set()

    _, last = await emulator.run({"1": make("PreviewAny", source="z")}, number=6)

    assert last["status"]["status_str"] == "success"
    assert nodes["Count"].calls == 2


async def test_interrupt_ends_a_node_that_looks(emulator: N, make: N) -> None:
    """An interrupt by id ends the running prompt with ``execution_interrupted``; others' ids do nothing."""
    sid = "me"
    async with await emulator.socket(sid) as socket:
        graph = {"1": make("Wait", value=1), "2": make("PreviewAny", source=["1", 0])}
        _, answer = await emulator.submit(graph, client_id=sid)
        while (await socket.receive_json(timeout=20))["type"] != "executing":
            pass
        assert (await emulator.post("/interrupt", json={"prompt_id": "other"}))[0] == 200
        running = (await emulator.get("/queue"))["queue_running"]
        assert [item[1] for item in running] == [answer["prompt_id"]]
        await emulator.post("/interrupt", json={"prompt_id": answer["prompt_id"]})
        message = await socket.receive_json(timeout=20)

    assert message["type"] == "execution_interrupted"
    assert (message["data"]["node_id"], message["data"]["node_type"]) == ("1", "Wait")


async def test_deaf_last_node_ends_well(emulator: N, make: N, nodes: N) -> None:
    """An interrupt that no node noticed does not affect the next prompt."""
    gate = nodes["Gate"]
    gate.entered, gate.leave = threading.Event(), threading.Event()
    run = asyncio.create_task(emulator.run({"1": make("Gate", value=1), "2": make("PreviewAny", source=["1", 0])}))
    assert await asyncio.to_thread(gate.entered.wait, 20)
    await emulator.post("/interrupt")
    gate.leave.set()

    _, record = await run

    # The interrupt is noticed before the next node, and reported there.
    assert record["status"]["messages"][-1][0] == "execution_interrupted"
    assert record["status"]["messages"][-1][1]["node_id"] == "2"
    _, after = await emulator.run({"1": make("PreviewAny", source="x")})
    assert after["status"]["status_str"] == "success"


async def test_progress_and_previews(emulator: N, make: N) -> None:
    """A node's steps are sent, and its preview follows as the old binary message."""
    graph = {"1": make("Steps", value=1, preview=True), "2": make("PreviewAny", source=["1", 0])}

    events, _ = await emulator.run(graph)

    progress = [data for kind, data in events if kind == "progress"]
    assert [(p["value"], p["max"], p["node"]) for p in progress] == [(1, 2, "1"), (2, 2, "1")]
    kinds = [kind for kind, _ in events]
    assert kinds[kinds.index("progress") + 1] == "binary"
    frame = next(data for kind, data in events if kind == "binary")
    assert frame[:10] == bytes.fromhex("00000001 00000001 ffd8")


async def test_previews_with_metadata(emulator: N, make: N) -> None:
    """A client with that feature gets previews with metadata, before the matching progress."""
    sid = "features"
    async with await emulator.socket(sid) as socket:
        await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        assert (await socket.receive_json(timeout=10))["type"] == "feature_flags"
        graph = {"1": make("Steps", value=1, preview=True), "2": make("PreviewAny", source=["1", 0])}
        _, answer = await emulator.submit(graph, client_id=sid)
        while isinstance((frame := (await socket.receive(timeout=20)).data), str):
            pass
        after = json.loads((await socket.receive(timeout=20)).data)

    kind, length = struct.unpack(">II", frame[:8])
    header = json.loads(frame[8 : 8 + length])
    assert kind == 4
    assert header == {
        "node_id": "1",
        "prompt_id": answer["prompt_id"],
        "display_node_id": "1",
        "parent_node_id": None,
        "real_node_id": "1",
        "image_type": "image/jpeg",
    }
    assert after["type"] == "progress"


async def test_partial_targets_run_only_those(emulator: N, make: N, nodes: N) -> None:
    """Outputs that are not targeted are not executed."""
    graph = {
        "1": make("Count", value=1),
        "2": make("PreviewAny", source=["1", 0]),
        "3": make("Restless", value=1),
        "4": make("PreviewAny", source=["3", 0]),
    }

    _, record = await emulator.run(graph, partial_execution_targets=["2"])

    assert record["prompt"][4] == ["2"]
    assert nodes["Restless"].calls == 0


async def test_prompt_without_client_broadcasts_only_progress(emulator: N, make: N) -> None:
    """Without a client id, ``executing`` and ``executed`` are sent to nobody, ``progress_state`` to everybody."""
    async with await emulator.socket() as socket:
        _, answer = await emulator.submit({"1": make("PreviewAny", source="x")})
        kinds = []
        while not kinds or kinds.count("status") < 3:
            kinds.append((await socket.receive_json(timeout=20))["type"])

    assert set(kinds) == {"status", "progress_state"}
    assert answer["prompt_id"] in await emulator.get("/history")


async def test_definition_without_implementation_fails_clearly(launch: N, make: N, tmp_path: Any) -> None:
    """A node known only from a saved ``/object_info`` validates, and its execution error names real ComfyUI."""
    saved = tmp_path / "info.json"
    info = {"input": {"required": {"x": ["INT", {"max": 9}]}}, "output": ["INT"], "output_node": True}
    saved.write_text(json.dumps({"OnlyKnown": info}))
    async with launch(object_info=saved) as client:
        status, answer = await client.submit({"1": make("OnlyKnown", x=10)})
        _, record = await client.run({"1": make("OnlyKnown", x=5)})
        served = await client.get("/object_info/OnlyKnown")

    assert status == 400
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "value_bigger_than_max"
    message = record["status"]["messages"][-1][1]["exception_message"]
    assert "real ComfyUI" in message
    assert "OnlyKnown" in message
    assert served == {"OnlyKnown": info}


async def test_inputs_of_a_failed_node_are_cached_again(launch: N, make: N, nodes: N) -> None:
    """With memory short, the results that a failing node used are kept, since nothing drops them after it."""
    graph = {
        "1": make("Count", value=1),
        "2": make("Fail", value=["1", 0], kind="ValueError"),
        "3": make("PreviewAny", source=["2", 0]),
    }
    async with launch(cache_ram=(1e9, 1e9)) as client:
        for _ in range(2):
            await client.run(graph)

    assert nodes["Count"].calls == 1


async def test_a_node_cannot_expand_to_itself(launch: N, make: N) -> None:
    """ComfyUI looks for the origin of such a node for ever; other ids may be taken over."""

    class TakesOver:
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"

        @classmethod
        def INPUT_TYPES(cls) -> Any:  # noqa: N802 - ComfyUI's name
            return {"required": {"name": ("STRING", {})}}

        def go(self, name: str) -> Any:
            graph = {name: {"class_type": "PrimitiveInt", "inputs": {"value": 7}}}
            return {"result": ([name, 0],), "expand": graph}

    records = []
    async with launch(extra_nodes={"TakesOver": TakesOver}) as client:
        for name in ("1", "3"):
            graph = {
                "1": make("TakesOver", name=name),
                "2": make("PreviewAny", source=["1", 0]),
                "3": make("PrimitiveInt", value=5),
            }
            records.append((await client.run(graph))[1])

    error = records[0]["status"]["messages"][-1][1]
    assert (error["node_id"], error["exception_type"]) == ("1", "ValueError")
    assert texts(records[1], "2") == ["7"]


async def test_what_the_server_adds_to_extra_data(launch: N, make: N) -> None:
    """The time, and the source that a header names; keys of accounts reach only the nodes."""

    class Keys:
        RETURN_TYPES = ()
        FUNCTION = "go"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> Any:  # noqa: N802 - ComfyUI's name
            return {"required": {}, "hidden": {"key": "API_KEY_COMFY_ORG", "source": "COMFY_USAGE_SOURCE"}}

        def go(self, key: Any, source: Any) -> Any:
            return {"ui": {"text": [f"{key} {source}"]}}

    async with launch(extra_nodes={"Keys": Keys}) as client:
        body = {"prompt": {"1": make("Keys")}, "extra_data": {"api_key_comfy_org": "secret", "create_time": 5}}
        async with await client.socket() as socket:
            async with client.http.post("/prompt", json=body, headers={"Comfy-Usage-Source": "tests"}) as answer:
                prompt_id = (await answer.json())["prompt_id"]
            while not (history := await client.get(f"/history/{prompt_id}")):
                await socket.receive(timeout=20)

    record = history[prompt_id]
    extra = record["prompt"][3]
    assert record["outputs"]["1"] == {"text": ["secret tests"]}
    assert set(extra) == {"create_time", "comfy_usage_source"}
    assert extra["create_time"] > 5


@pytest.mark.parametrize(("cache", "cached"), [("classic", ["1", "2", "5"]), ("ram", ["1", "2", "4", "5"])])
async def test_a_node_that_takes_over_an_id_leaves_the_other_uncached(
    launch: N, make: N, cache: str, cached: list[str]
) -> None:
    """The classic cache keeps its result below the node that expanded; the others know it by the old node's inputs."""

    class TakesOver:
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"

        @classmethod
        def INPUT_TYPES(cls) -> Any:  # noqa: N802 - ComfyUI's name
            return {"required": {}}

        def go(self) -> Any:
            graph = {"4": {"class_type": "PrimitiveInt", "inputs": {"value": 7}}}
            return {"result": (["4", 0],), "expand": graph}

    graph = {
        "1": make("TakesOver"),
        "2": make("PreviewAny", source=["1", 0]),
        "4": make("PrimitiveInt", value=5),
        "5": make("PreviewAny", source=["4", 0]),
    }
    async with launch(cache=cache, extra_nodes={"TakesOver": TakesOver}) as client:
        await client.run(graph)
        events, _ = await client.run(graph)

    assert events[1][1]["nodes"] == cached
