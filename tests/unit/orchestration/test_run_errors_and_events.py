"""Errors and events of runs: wrong arguments and workflows, what a server lacks, timeouts, and where it was."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest
from port_workflows import Graph
from unit.orchestration.conftest import Run, runner
from unit.orchestration.fake_worker import FakeWorker, node, picture, port
from unit.orchestration.test_run_references import LORA, NAME
from unit.orchestration.test_running_lists import ADD, INVERT, LATENT, LOADER, LOOP, SAMPLER

from discomfort.context.context import WorkflowContext
from discomfort.exceptions import ExecutionError, PayloadError, PortError, RunTimeout, StateError
from discomfort.orchestration.shared_files import SharedFiles
from discomfort.orchestration.steps import listed
from discomfort.progress import WorkflowProgress


@pytest.mark.parametrize("workflows", [None, [], "", ()])
def test_no_workflow(workflows: object) -> None:
    """Is a ValueError."""
    with pytest.raises(ValueError, match="there is no workflow to run"):
        listed(workflows)


@pytest.mark.parametrize(("workflows", "text"), [([ADD, 3], r"workflows\[1\] is .*, not int"), (3, "not int"),
                                                 (b"{}", "not bytes")])  # fmt: skip
def test_wrong_items(workflows: object, text: str) -> None:
    """Are TypeErrors that name the place."""
    with pytest.raises(TypeError, match=text):
        listed(workflows)


async def test_files(run: Run, tmp_path: Path) -> None:
    """A missing file and one that is not JSON say where they stand in the list."""
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(FileNotFoundError) as missing:
        await run([ADD, "missing.json"], {"a": 1})
    with pytest.raises(PayloadError, match="not JSON") as broken:
        await run([ADD, str(tmp_path / "broken.json")], {"a": 1})

    assert missing.value.__notes__ == ["in workflows[1] 'missing.json'"]
    assert str(broken.value.workflow) == "workflows[1] 'broken.json'"


async def test_everything_at_once(run: Run, worker: FakeWorker) -> None:
    """An empty id, a computed one, two OUTPUT ports of one id, and a missing value, in one error."""
    bad = {
        "1": port(" "), "2": node("StandInAdd", a=["1", 0], b=["3", 0]), "3": port("n"),
        "4": port("out", ["2", 0]), "5": port("out", ["2", 0]),
        "6": node("DiscomfortPort", unique_id=["2", 0], input_data=["2", 0]),
    }  # fmt: skip
    with pytest.raises(PortError) as caught:
        await run([bad, INVERT], {})

    told = str(caught.value)
    for text in ("it has no unique_id", "2 OUTPUT ports have this id (nodes 4, 5)", "computed by node 2",
                 "port 'n': it has no value", "workflows[1]: port 'test_input': it has no value"):  # fmt: skip
        assert text in told
    assert worker.sent == []
    assert isinstance(caught.value, ValueError)


async def test_types_between_workflows(run: Run) -> None:
    """What an earlier workflow writes must fit; so must what returns in the next iteration."""
    wrong = {"1": port("sum"), "2": node("ImageInvert", image=["1", 0]), "3": port("out", ["2", 0])}
    with pytest.raises(PortError, match="takes IMAGE, given INT"):
        await run([ADD, wrong], {"a": 1})
    returning = {"1": port("x"), "2": node("ImageInvert", image=["1", 0]), "3": port("i", ["2", 0])}
    number = {**ADD, "3": port("x", ["2", 0])}
    assert (await run([returning, number], {"x": picture(), "a": 1}))["x"] == 2
    with pytest.raises(PortError, match=r"takes IMAGE, but gets INT from workflows\[1\] afterwards"):
        await run([returning, number], {"x": picture(), "a": 1}, iterations=2)


async def test_muted_sources(run: Run, worker: FakeWorker, caplog: pytest.LogCaptureFixture) -> None:
    """D21: an OUTPUT whose source is muted gets nothing, and is left out with a warning."""
    graph = Graph()
    muted = graph.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE", mode=2)
    adder = graph.add("StandInAdd", "a:INT b:INT", "INT:INT")
    out, total = graph.output("out", muted), graph.output("sum", adder)
    workflow = graph.workflow()
    worker.prompts["w"] = {
        str(adder): node("StandInAdd", a=1, b=2), str(out): port("out"), str(total): port("sum", [str(adder), 0]),
    }  # fmt: skip
    assert await run(workflow) == {"sum": 3}
    assert "what feeds the OUTPUT port 'out' is muted" in caplog.text


async def test_attached_servers(worker: FakeWorker, places: None) -> None:
    """Constants and references pass; a value for which the server has no node is refused, with port, type and tier."""
    attached = FakeWorker(engine="attached")
    run = runner(attached)
    results = await run([LOADER, {**LORA, "8": port("unused")}], {**NAME, "strength": 1.0, "lora": "b.safetensors"})
    assert sorted(results) == ["clip", "model", "vae"]
    with pytest.raises(PortError, match=r"port 'sum': the value of type INT .* no node PreviewAny\..* \(tier 3\)"):
        await run(ADD, {"a": 1})
    with pytest.raises(PortError, match="port 'test_input': its value of type IMAGE .* no node LoadImage"):
        await run(INVERT, {"test_input": picture()})


@pytest.mark.parametrize(
    ("told", "text"),
    [({}, "of version None"), ({"version": 9, "sees": ["disk"]}, "nodes of version 9"),
     ({"version": 1, "sees": []}, "do not see the folder of contexts")],
)  # fmt: skip
async def test_packs_that_do_not_fit(places: None, told: Any, text: str) -> None:
    """Another version, or one that does not see our files; what needs none still runs."""
    run = runner(FakeWorker(handshake=told))
    with pytest.raises(PortError, match=text):
        await run(ADD, {"a": 1})


async def test_disk_where_memory_is_not_seen(places: None, context: WorkflowContext) -> None:
    """A server in another memory namespace gets what lies in memory from disk."""
    worker = FakeWorker(handshake={"version": 1, "sees": ["disk"]})
    results = await runner(worker)(INVERT, {"test_input": picture()}, context=context)
    loader = next(each for each in worker.sent[0].values() if each["class_type"] == "DiscomfortContextLoader")
    assert results["test_output"].shape == (1, 4, 4, 3)
    assert loader["_meta"]["discomfort"]["storage"] == "disk"
    assert (context.get_storage_info("test_output") or {})["storage_type"] == "disk"


async def test_timeout(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """Ends the whole call; what earlier workflows wrote stays."""

    async def second_waits(_: Any) -> None:
        if len(worker.sent) > 1:
            await asyncio.Event().wait()

    worker.before = second_waits
    with pytest.raises(RunTimeout, match=r"did not end within 2 s") as caught:
        await run([LOOP, ADD], {"n": 1, "a": 1}, context=context, timeout=2)
    assert isinstance(caught.value, TimeoutError)
    assert worker.cancelled == 1
    assert context.load("n") == 2
    assert "sum" not in context


async def test_events(run: Run, context: WorkflowContext) -> None:
    """Say which workflow, which iteration, and which node of which workflow."""
    events: list[WorkflowProgress] = []
    await run([LOADER, LATENT, SAMPLER], {**NAME, "prompt": "x", "seed": 1}, context=context, iterations=2,
              on_progress=events.append)  # fmt: skip

    assert {(each.workflow_index, each.iteration) for each in events} == {(i, n) for i in range(3) for n in (1, 2)}
    started = [each for each in events if each.kind == "node_started"]
    loader = next(each for each in started if each.to_dict()["class_type"] == "CheckpointLoaderSimple")
    assert (loader.to_dict()["node_id"], loader.origin) == ("2", None)
    cached = [each for each in events if each.kind == "cached" and each.workflow_index == 0 and each.iteration == 2]
    assert "2" in cached[0].to_dict()["node_ids"]


async def test_callbacks_that_fail(run: Run) -> None:
    """Receive no further events; async ones are awaited."""
    seen: list[str] = []

    async def callback(event: WorkflowProgress) -> None:
        seen.append(event.kind)

    await run([ADD], {"a": 1}, on_progress=callback)
    assert seen[0] == "started"
    assert seen[-1] == "done"


async def test_errors_of_other_workflows(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """A node that a reference brought is named by its workflow; errors travel with their place."""
    made = {"1": port("n"), "2": node("StandInFail", value=["1", 0]), "3": port("number", ["2", 0])}
    rules = {"INT": "ref"}
    await run(made, {"n": 1}, context=context, rules=rules)
    reference = context.load("number")
    node_id = str(reference["output"][0])
    broken = {**reference["prompt"], node_id: {**reference["prompt"][node_id], "inputs": {"value": -1}}}
    context.save("number", {**reference, "prompt": broken})
    with pytest.raises(ExecutionError) as caught:
        await run({"1": port("number"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("sum", ["2", 0])},
                  context=context)  # fmt: skip

    note = "\n".join(caught.value.__notes__)
    assert f"node {node_id} is node 2 of workflows[0], which a reference brought" in note
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.workflow, again.__notes__) == (caught.value.workflow, caught.value.__notes__)


async def test_contexts_that_were_shut_down(run: Run, context: WorkflowContext) -> None:
    """Cannot be used."""
    context.shutdown()
    with pytest.raises(StateError, match="was shut down"):
        await run(ADD, {"a": 1}, context=context)
    with pytest.raises(TypeError, match="context is a WorkflowContext, not dict"):
        await run(ADD, {"a": 1}, context={})


async def test_misspelt_inputs_are_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """With the port that may be meant, beside the error that this port lacks a value."""
    adding = {"1": port("seed"), "2": node("StandInAdd", a=["1", 0], b=1), "3": port("sum", ["2", 0])}
    with caplog.at_level("INFO", "discomfort.run"), pytest.raises(PortError, match="seed"):
        await run(adding, {"sede": 1, "colour": 2})
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert sorted(told) == [
        ("INFO", "no INPUT port takes inputs['colour']; it is saved to the context"),
        ("WARNING", "no INPUT port takes inputs['sede']; did you mean 'seed'?"),
    ]


@pytest.mark.parametrize("end", ["here", "in a thread", "its maker", "only the copy"])
async def test_context_that_ends_in_a_run(run: Run, worker: FakeWorker, context: WorkflowContext, end: str) -> None:
    """The run ends at once, with its prompt, whoever shuts the context down."""
    opened = WorkflowContext(run_id=context.run_id, create=False)
    used = opened if end in ("its maker", "only the copy") else context
    at_work = asyncio.Event()

    async def never(_: Any) -> None:
        at_work.set()
        await asyncio.Event().wait()

    worker.before = never
    call = asyncio.ensure_future(run(ADD, {"a": 1}, context=used))
    await at_work.wait()
    ended = opened if end == "only the copy" else context
    await (asyncio.to_thread(ended.shutdown) if end == "in a thread" else asyncio.sleep(0, ended.shutdown()))
    with pytest.raises(StateError, match=f"the context '{context.run_id}' was shut down"):
        await asyncio.wait_for(call, 60)
    assert worker.cancelled == 1
    assert context._is_closed() is (end != "only the copy")


async def test_failed_runs_leave_no_file(run: Run, context: WorkflowContext) -> None:
    """What a saver wrote before another node failed goes, too."""
    context.save("picture", picture(0.5, (1, 64, 64, 3)))
    failing = {
        "1": port("picture"), "2": node("ImageInvert", image=["1", 0]), "3": port("inverted", ["2", 0]),
        "4": node("StandInFail", value=-1), "5": port("number", ["4", 0]),
    }  # fmt: skip
    with pytest.raises(ExecutionError):
        await run(failing, context=context)
    folder = context._storage.memory_folder or context._storage.home
    assert len([path for path in folder.iterdir() if len(path.name) == 32]) == 1
    assert context.list_keys() == ["picture"]


async def test_what_returns_is_the_last_value(run: Run) -> None:
    """A value that another one replaces before the next iteration does not count."""
    inverted = {"1": port("x"), "2": node("ImageInvert", image=["1", 0]), "3": port("x", ["2", 0])}
    number = {**ADD, "3": port("x", ["2", 0])}
    results = await run([inverted, number, {"1": port("p"), "2": port("x", ["1", 0])}],
                        {"x": picture(), "p": picture(0.5), "a": 1}, iterations=2)  # fmt: skip
    assert results["x"].shape == (1, 4, 4, 3)


async def test_refused_inputs_among_other_problems(run: Run) -> None:
    """All in one error."""
    with pytest.raises(PortError, match=r"inputs\['a'\]: an object .*port 'test_input': it has no value"):
        await run([ADD, INVERT], {"a": object()})


async def test_inputs_are_taken_at_the_call(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """What a program changes while the call waits does not count."""
    given = picture(0.25)
    workflow = {"id": "w", "nodes": [{"id": 1, "type": "X"}], "links": []}
    worker.prompts["w"] = INVERT

    async def change(*_: Any) -> Any:
        given[:] = 1
        return INVERT

    worker.get_prompt_from_workflow = change  # type: ignore[method-assign]
    results = await run(workflow, {"test_input": given}, context=context)
    assert float(results["test_output"].mean()) == 0.75


async def test_cancellation_anywhere(run: Run, context: WorkflowContext) -> None:
    """Wherever it strikes: no file and no pin is left that no value needs, and the next run works."""
    fitted = {"1": port("x"), "2": node("ImageInvert", image=["1", 0]), "3": port("y", ["2", 0]),
              "4": port("z", ["2", 0])}  # fmt: skip
    storage = context._storage
    folder = storage.memory_folder or storage.home
    for steps in range(40):
        task = asyncio.create_task(
            run([fitted, LOADER], {"x": picture(steps / 100, (32, 32, 3)), **NAME}, context=context)
        )
        for _ in range(steps):
            await asyncio.to_thread(int)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, dict | asyncio.CancelledError)
        needed = {(file.rpartition("/")[2]) for record in storage.records().values() for file in record.files}
        assert {path.name for path in folder.iterdir() if len(path.name) >= 32} == needed
        assert not storage._index.table._pins
        assert not storage._without_id.keys() - {record.file for record in storage.records().values()}
    assert set(await run([fitted], {"x": picture()}, context=context)) == {"y", "z"}


async def test_cancellation_at_the_end(run: Run, context: WorkflowContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the transport ends: what was written for the server goes all the same."""
    reached, gate = asyncio.Event(), asyncio.Event()

    async def end(_: SharedFiles) -> None:
        reached.set()
        await gate.wait()

    monkeypatch.setattr(SharedFiles, "end", end)
    task = asyncio.create_task(run(INVERT, {"test_input": picture(0.5, (32, 32, 3))}, context=context))
    await reached.wait()
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    storage = context._storage
    needed = {file for record in storage.records().values() for file in record.files}
    assert storage._without_id.keys() <= needed
