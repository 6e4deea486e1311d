"""What depends on the server's version: the client knows which it talks to, and lives with each."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import gate_prompt, node, picture_prompt, record_of, show_prompt, texts_of
from waiting import until

from discomfort import ComfyConnector
from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import (
    ExecutionInterrupted,
    MissingNodesError,
    PayloadError,
    ServerStartError,
    UnsafePromptError,
    ValidationError,
)
from discomfort.server_features import (
    COMBO_CHECK,
    JOB_CANCEL,
    JOB_TIMES,
    NODE_REPLACEMENTS,
    PROMPT_UUIDS,
    ServerFeatures,
    VersionFact,
)


def client_of(connector: ComfyConnector) -> ComfyClient:
    """The connector's own client."""
    client = connector._parts.client
    assert client is not None
    return client


async def features_of(connector: ComfyConnector) -> ServerFeatures:
    """What its server says."""
    return await client_of(connector).features()


async def test_version_is_known_and_reported(connector: ComfyConnector, raw: aiohttp.ClientSession) -> None:
    """It is the one that the server tells; the report says what it means."""
    async with raw.get("/system_stats") as response:
        told = (await response.json())["system"]["comfyui_version"]
    features = await features_of(connector)
    assert (features.version, features.problem) == (told, "")
    assert features.release is not None
    report = (await connector.diagnostics())["server"]["features"]
    assert report["version"] == told
    assert report["facts"]["prompt_uuids"] is features.has(PROMPT_UUIDS)


async def seen(raw: aiohttp.ClientSession, fact: VersionFact) -> bool:
    """Whether the server itself shows the fact, in the way that the table names."""
    prompt: dict[str, Any] = picture_prompt()
    if fact is PROMPT_UUIDS:
        async with raw.post("/prompt", json={"prompt": prompt, "prompt_id": f"no uuid {uuid.uuid4()}"}) as response:
            return response.status == 400
    if fact is JOB_CANCEL:
        async with raw.post(f"/api/jobs/{uuid.uuid4()}/cancel") as response:
            return response.status == 200
    if fact is NODE_REPLACEMENTS:
        async with raw.get("/node_replacements") as response:
            return response.status == 200
    if fact is COMBO_CHECK:
        prompt["3"] = node("ImageBlend", image1=["1", 0], image2=["1", 0], blend_factor=0.5, blend_mode="zzz")
        prompt["2"]["inputs"]["images"] = ["3", 0]
    prompt_id = str(uuid.uuid4())
    async with raw.post("/prompt", json={"prompt": prompt, "prompt_id": prompt_id}) as response:
        if fact is COMBO_CHECK:
            return response.status == 400
    record: dict[str, Any] = {}
    while not record:
        async with raw.get(f"/history/{prompt_id}") as response:
            record = await response.json()
    return "create_time" in record[prompt_id]["prompt"][3]


@pytest.mark.parametrize(
    "fact", [PROMPT_UUIDS, JOB_CANCEL, NODE_REPLACEMENTS, COMBO_CHECK, JOB_TIMES], ids=lambda fact: fact.name
)
async def test_table_of_facts_is_true(
    connector: ComfyConnector, raw: aiohttp.ClientSession, engine: EngineUnderTest, fact: VersionFact
) -> None:
    """What the version means is what the server does."""
    told = (await features_of(connector)).has(fact)
    assert await seen(raw, fact) is told
    await until_idle(connector)


async def until_idle(connector: ComfyConnector) -> None:
    """Wait until nothing is queued or runs."""

    async def is_idle() -> bool:
        return len(await connector.queue()) == 0

    await until(is_idle)


async def test_prompt_id_of_the_caller(connector: ComfyConnector) -> None:
    """A UUID works everywhere; anything else is refused by newer servers, and the error says what they take."""
    client = client_of(connector)
    mine = str(uuid.uuid4())
    assert list(await client.run(show_prompt(31), prompt_id=mine)) == [mine]
    strange = f"not a uuid {mine}"
    if (await features_of(connector)).has(PROMPT_UUIDS):
        with pytest.raises(ValidationError, match="uuid4") as caught:
            await client.run(show_prompt(32), prompt_id=strange)
        assert caught.value.error["type"] == "invalid_prompt_id"
    else:
        assert list(await client.run(show_prompt(32), prompt_id=strange)) == [strange]


async def test_prompt_id_that_the_server_knows_already(connector: ComfyConnector) -> None:
    """A second run under the id of one that has ended gives the result of the second."""
    client, same = client_of(connector), str(uuid.uuid4())
    assert texts_of(await client.run(show_prompt(41), prompt_id=same)) == ["41"]
    assert texts_of(await client.run(show_prompt(42), prompt_id=same)) == ["42"]


async def test_partial_execution_by_somebody_else(connector: ComfyConnector, raw: aiohttp.ClientSession) -> None:
    """A prompt of which only some outputs were asked for is found, and its run gives those."""
    prompt = picture_prompt(0x112233)
    # An equal node would have the result of the first: ComfyUI before 0.3.68 lists whatever its cache has.
    prompt["3"] = node("SaveImage", "Not asked for", images=["1", 0], filename_prefix="versions/no")
    body = {"prompt": prompt, "prompt_id": str(uuid.uuid4()), "partial_execution_targets": ["2"]}
    async with raw.post("/prompt", json=body) as response:
        assert response.status == 200
    history = await (await connector.find(body["prompt_id"]))
    assert [output.title for output in connector.outputs(history)] == ["Out"]


async def test_option_that_the_server_does_not_have(engine: EngineUnderTest) -> None:
    """Options come and go with the versions: an unknown one is told at once, by its name."""
    settings = {**engine.settings, "server_arguments": "--no-such-option", "browser": "lazy"}
    with pytest.raises(ServerStartError, match="unrecognized arguments: --no-such-option") as caught:
        await ComfyConnector.launch(**settings)
    assert caught.value.exit_code == 2
    assert "SERVER_ARGUMENTS" in caught.value.remedy


# --- cancel --------------------------------------------------------------------------------------------------------


async def test_cancel_one_of_two(connector: ComfyConnector, gate: Path) -> None:
    """The running one is interrupted, the queued one goes on and gives its result."""
    running = await connector.submit(gate_prompt(gate), False)
    queued = await connector.submit(show_prompt(51), False)
    await until(lambda: running.status.title is not None)
    assert await running.cancel()
    assert texts_of(await queued) == ["51"]
    with pytest.raises(ExecutionInterrupted):
        await running


async def test_cancel_a_queued_one(connector: ComfyConnector, gate: Path) -> None:
    """It leaves the queue, and the running one is not interrupted."""
    running = await connector.submit(gate_prompt(gate), False)
    queued = await connector.submit(show_prompt(52), False)
    await until(lambda: running.status.title is not None)
    assert await queued.cancel()
    waiting = await connector.queue()
    assert (waiting.running, waiting.pending) == ((running.prompt_id,), ())
    gate.touch()
    assert record_of(await running)["status"]["completed"] is True


async def test_cancel_at_the_moment_of_the_start(connector: ComfyConnector, tmp_path: Path) -> None:
    """The run before ends and the one after begins, whichever of the three runs when the cancellation arrives."""
    never = tmp_path / "never"
    for turns in range(20):
        opened = tmp_path / f"open {turns}"
        before = await connector.submit(gate_prompt(opened), False)
        target = await connector.submit(gate_prompt(never), False)
        after = await connector.submit(show_prompt(3000 + turns), False)
        opened.touch()
        # Each request takes a moment, so the cancellation comes a little later each time.
        for _ in range(turns):
            await client_of(connector).rest.remaining()
        assert await target.cancel()
        assert record_of(await before)["status"]["completed"] is True
        assert texts_of(await after) == [str(3000 + turns)]
        with pytest.raises(ExecutionInterrupted):
            await target
    assert len(await connector.queue()) == 0


# --- times ---------------------------------------------------------------------------------------------------------


async def test_times_of_a_run(connector: ComfyConnector, gate: Path) -> None:
    """Unix times in seconds and in order; before JOB_TIMES the server does not tell when it accepted a prompt."""
    has_created = (await features_of(connector)).has(JOB_TIMES)
    began = time.time()
    run = await connector.submit(gate_prompt(gate), False)
    await until(lambda: run.started is not None)
    assert run.ended is None
    gate.touch()
    await run
    status = run.status
    assert (status.created, status.started, status.ended) == (run.created, run.started, run.ended)
    assert (run.created is not None) is has_created
    assert status.started is not None
    assert status.ended is not None
    # The server's clock has milliseconds.
    assert began - 1 <= (run.created or status.started) <= status.started <= status.ended <= time.time() + 1
    found = await connector.find(run.prompt_id)
    await found
    assert (found.created, found.started, found.ended) == (run.created, run.started, run.ended)


async def test_times_of_a_run_that_was_interrupted(connector: ComfyConnector, gate: Path) -> None:
    """Its end has a time, too, if the server told it in time."""
    run = await connector.submit(gate_prompt(gate), False)
    await until(lambda: run.status.title is not None)
    await connector.interrupt(run.prompt_id)
    with pytest.raises(ExecutionInterrupted):
        await run
    assert run.started is not None
    assert run.ended is not None
    assert run.started <= run.ended


# --- prompts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"extra_pnginfo": None}, {"extra_pnginfo": {"workflow": None}}])
async def test_extra_data_does_not_spoil_the_list_of_jobs(
    connector: ComfyConnector, raw: aiohttp.ClientSession, extra: dict[str, Any]
) -> None:
    """The frontend shows that list; one such prompt would make it fail for everybody."""
    await connector.run_workflow(show_prompt(61), False, extra_data=extra)
    async with raw.get("/api/jobs?limit=5") as response:
        assert response.status in {200, 404}


@pytest.mark.parametrize("extra", [{"extra_pnginfo": []}, {"extra_pnginfo": {"workflow": "x"}}, [], "x"])
async def test_extra_data_of_another_shape(connector: ComfyConnector, extra: Any) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(PayloadError, match="must be an object"):
        await connector.run_workflow(show_prompt(62), False, extra_data=extra)


WRAPPED = {"__value__": ["99", 0]}


async def test_wrapped_link_in_an_input_of_any_type(connector: ComfyConnector) -> None:
    """ComfyUI dies of it in an input that takes everything, also of newer versions."""
    with pytest.raises(UnsafePromptError, match="'99'"):
        await connector.run_workflow({"1": node("PreviewAny", source=WRAPPED)}, False)
    assert texts_of(await connector.run_workflow(show_prompt(63), False)) == ["63"]


async def test_replaced_class(connector: ComfyConnector) -> None:
    """A server that replaces a class checks what takes its place; others miss the class."""
    show = node("PreviewAny", source=["1", 0])
    prompt = {"1": node("T2IAdapterLoader", t2i_adapter_name="none.safetensors"), "2": show}
    if not (await features_of(connector)).has(NODE_REPLACEMENTS):
        with pytest.raises(MissingNodesError, match="T2IAdapterLoader"):
            await connector.run_workflow(prompt, False)
        return
    with pytest.raises(ValidationError) as caught:
        await connector.run_workflow(prompt, False)
    (problem,) = caught.value.problems
    assert (problem.node_id, problem.input_name, problem.type) == ("1", "control_net_name", "value_not_in_list")
    # The server would answer 500.
    with pytest.raises(ValidationError, match="replaces this node by ControlNetLoader"):
        await connector.run_workflow({"1": node("T2IAdapterLoader"), "2": show}, False)
