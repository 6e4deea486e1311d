"""Runs of a pool: where they go, what they tell, what they give, and what is left of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standin_servers import GB, MODELS, StandinServer, definitions, picture_prompt, pool_of, prompt, texts, workflow
from waiting import until

from discomfort.exceptions import ArgumentError, CallError, ExecutionInterrupted, MissingNodesError, NoServerFits
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.pool_events import Assigned, Loading, Waiting
from discomfort.pool.scheduler import Policy
from discomfort.progress import Done, NodeStarted, Queued, Started

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40


async def test_events_come_in_order_and_end_with_done() -> None:
    """From the queue of the pool to the end; a reader that comes late gets the present state first."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        run = await pool.submit(prompt())
        events = run.events()
        attempt = await server.next_run()
        attempt.start()
        attempt.begin_node("1")
        late = run.events()
        attempt.finish()
        await run
        seen = [type(event) for event in [event async for event in events]]
        assert seen == [Waiting, Assigned, Queued, Started, NodeStarted, Loading, Done]
        assert [type(event) for event in [event async for event in late]] == [
            Assigned, Started, NodeStarted, Loading, Done
        ]  # fmt: skip
        assert [type(event) async for event in run.events()] == [Done]


async def test_result_has_names_contents_and_place() -> None:
    """As a called workflow's, and where the time went."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server) as pool:
        run = await pool.submit(prompt(text="hi"), {"Say.seed": 3}, tags={"order": "17"}, tenant="acme")
        result = await run
        assert texts(result) == ["hi"]
        assert (result.server, result.run_id, result.loads) == ("one", run.run_id, ("checkpoints/a.safetensors",))
        assert 0 <= result.timing.waited <= result.timing.total
        assert (run.tags, run.tenant, run.phase, run.server) == ({"order": "17"}, "acme", "ended", "one")
        assert result.history[result.prompt_id]["prompt"][2]["2"]["inputs"]["seed"] == 3
        assert run.outcome is result


async def test_run_goes_to_the_server_that_holds_its_model() -> None:
    """Twelve runs of two models on two servers load each once."""
    servers = StandinServer("one", hand=False), StandinServer("two", hand=False)
    async with await pool_of(*servers) as pool:
        for index in range(12):
            await (await pool.submit(prompt(MODELS[index % 2], seed=index)))
        status = pool.status()
        assert status.loads == 2
        assert status.done == 12
        assert sorted(len(server.models) for server in status.servers) == [1, 1]


async def test_server_that_keeps_nothing_loads_for_each_run() -> None:
    """``--cache-none``: what ran there says nothing of what it holds."""
    server = StandinServer("one", hand=False)
    server.keeps_nothing = True
    async with await pool_of(server) as pool:
        for seed in range(3):
            result = await (await pool.submit(prompt(seed=seed)))
            assert result.loads == ("checkpoints/a.safetensors",)
        assert pool.status().servers[0].models == {}


async def test_workflow_is_converted_once() -> None:
    """By one server for all, however often it is submitted, from whatever object."""
    servers = StandinServer("one", hand=False), StandinServer("two", hand=False)
    async with await pool_of(*servers) as pool:
        for seed in range(3):
            await (await pool.submit(workflow(), {"Say.seed": seed}))
        assert sum(server.converted for server in servers) == 1
        await (await pool.submit(workflow("another")))
        assert sum(server.converted for server in servers) == 2
        assert sorted(server.converted for server in servers) == [0, 2]


async def test_conversion_moves_to_another_server() -> None:
    """If the one that converts is lost."""
    one, two = StandinServer("one", hand=False), StandinServer("two", hand=False)
    async with await pool_of(one, two) as pool:
        await (await pool.submit(workflow()))
        first, other = (one, two) if one.converted else (two, one)
        first.die()
        await (await pool.submit(workflow("another")))
        assert (first.converted, other.converted) == (1, 1)


async def test_run_goes_only_where_its_nodes_and_models_are() -> None:
    """Other definitions of nodes that it does not use do not matter; other lists of models do."""
    lacks = StandinServer("lacks", hand=False, nodes=definitions(["a.safetensors"]))
    other = StandinServer("other", hand=False, nodes=definitions(Extra={"input": {}}))
    changed = definitions()
    changed["Say"] = {
        "input": {"required": {"model": ["MODEL"], "text": ["STRING", {}]}},
        "output": [],
        "output_node": True,
    }
    without = StandinServer("without", hand=False, nodes=changed)
    async with await pool_of(lacks, other, without) as pool:
        results = [await (await pool.submit(prompt("b.safetensors", seed=seed))) for seed in range(6)]
        assert {result.server for result in results} == {"other"}
        everywhere = [await run for run in [await pool.submit(prompt(seed=seed)) for seed in range(8)]]
        assert {result.server for result in everywhere} <= {"lacks", "other"}
        with pytest.raises(NoServerFits, match=r"lacks the model checkpoints/new\.safetensors"):
            await pool.submit(prompt("new.safetensors"))
        other.nodes = definitions([*MODELS, "new.safetensors"])
        assert (await (await pool.submit(prompt("new.safetensors")))).server == "other"
        with pytest.raises(MissingNodesError, match="Nowhere"):
            await pool.submit({"1": {"class_type": "Nowhere", "inputs": {}}})


async def test_wrong_values_never_wait() -> None:
    """Each wrong argument is named, before anything is sent."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        with pytest.raises(CallError, match=r"Say\.sed"):
            await pool.submit(prompt(), {"Say.sed": 1})
        for wrong, name in [
            ({"timeout": -1}, "timeout"), ({"priority": "high"}, "priority"), ({"tenant": ""}, "tenant"),
            ({"retry": 3}, "retry"), ({"vram_gb": "8"}, "vram_gb"), ({"labels": ["a"]}, "labels"),
            ({"tags": {"a": 1}}, "tags"), ({"files": 3}, "files"), ({"allow_paid": "yes"}, "allow_paid"),
        ]:  # fmt: skip
            with pytest.raises(ArgumentError, match=name):
                await pool.submit(prompt(), **wrong)  # type: ignore[arg-type]
        assert pool.status().waiting == 0
        assert not server.runs


async def test_files_are_on_the_server_for_the_time_of_the_run() -> None:
    """Under the name of the input; they are discarded afterwards."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        run = await pool.submit(picture_prompt(), files={"LoadImage.image": PNG})
        attempt = await server.next_run()
        name = attempt.order.prompt["1"]["inputs"]["image"]
        assert name.startswith("uploaded-")
        assert server.discarded == []
        attempt.start()
        attempt.finish("done")
        await run
        await until(lambda: server.discarded == [name])


async def test_tenants_in_turn_leave_nothing_to_each_other() -> None:
    """The server is wiped between them, and only then."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server, options=PoolOptions(Policy(share="in-turn"))) as pool:
        wiped = []
        for tenant in ("acme", "acme", "other", "acme"):
            await (await pool.submit(prompt(), tenant=tenant))
            wiped.append(server.wiped)
        assert wiped == [0, 0, 1, 2]


async def test_tenants_that_never_share() -> None:
    """A server belongs to the tenant that used it first; without one left, the run waits and says why."""
    one, two = StandinServer("one", hand=False), StandinServer("two", hand=False)
    async with await pool_of(one, two, options=PoolOptions(Policy(share="never"))) as pool:
        mine = (await (await pool.submit(prompt(), tenant="acme"))).server
        others = (await (await pool.submit(prompt(), tenant="other"))).server
        assert {mine, others} == {"one", "two"}
        assert (await (await pool.submit(prompt(), tenant="acme"))).server == mine


async def test_map_keeps_the_order() -> None:
    """And bounds how many wait at once."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server) as pool:
        found = await pool.map(prompt(), ({"Say.text": f"t{number}"} for number in range(20)), window=3)
        assert [texts(result)[0] for result in found] == [f"t{number}" for number in range(20)]


async def test_map_raises_or_returns_errors() -> None:
    """The first one ends the others; or each takes the place of its result."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server) as pool:
        values = [{"Say.text": "a"}, {"Say.wrong": 1}, {"Say.text": "c"}]
        with pytest.raises(CallError):
            await pool.map(prompt(), values)
        found = await pool.map(prompt(), values, on_error="return")
        assert isinstance(found[1], CallError)
        assert [texts(found[0]), texts(found[2])] == [["a"], ["c"]]
        with pytest.raises(ArgumentError, match="on_error"):
            await pool.map(prompt(), values, on_error="ignore")  # type: ignore[arg-type]


async def test_as_completed_pulls_as_it_goes() -> None:
    """An endless iterable is fine; when the loop is left, what runs is cancelled."""
    server = StandinServer("one")
    pulled: list[int] = []

    def endless() -> Any:
        while True:
            pulled.append(len(pulled))
            yield {"Say.seed": pulled[-1]}

    async with await pool_of(server) as pool:
        runs = pool.as_completed(prompt(), endless(), window=4)
        first = asyncio.create_task(anext(runs))
        attempt = await server.next_run()
        attempt.start()
        attempt.finish()
        assert (await first).outcome.history
        assert len(pulled) == 4
        following = await server.next_run()
        await runs.aclose()
        assert following.was_cancelled
        assert pool.status().waiting == pool.status().running == 0


async def test_as_completed_waits_for_room() -> None:
    """A full queue is no error there."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server, options=PoolOptions(max_waiting=1)) as pool:
        seen = [run async for run in pool.as_completed(prompt(), ({"Say.seed": n} for n in range(10)), window=8)]
        assert sorted(run.values["Say.seed"] for run in seen) == list(range(10))
        assert len({run.run_id for run in seen}) == 10
        assert all(run.phase == "ended" for run in seen)


async def test_cancelled_map_cancels_its_runs() -> None:
    """Nothing is left in the queue or on the server."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        task = asyncio.create_task(pool.map(prompt(), [{}, {}, {}]))
        attempt = await server.next_run()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert attempt.was_cancelled
        assert pool.status().waiting == pool.status().running == 0


async def test_waiter_may_leave_the_run_alone() -> None:
    """Cancelling a task that waits for a run does not end it."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        run = await pool.submit(prompt())
        waiter = asyncio.ensure_future(_result(run))
        attempt = await server.next_run()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        attempt.start()
        attempt.finish()
        assert texts(await run) == ["hello"]


async def _result(run: Any) -> Any:
    return await run


async def test_scale_and_remove() -> None:
    """Idle servers go first; a pool without a maker says so."""
    one, two = StandinServer("one"), StandinServer("two")
    async with await pool_of(one, two) as pool:
        with pytest.raises(Exception, match="create"):
            await pool.scale(3)
        run = await pool.submit(prompt())
        await until(lambda: run.server)
        idle = one if run.server == "two" else two
        await pool.remove(idle.name)
        assert idle.closed == 1
        assert [server.name for server in pool.status().servers] == [run.server]
        with pytest.raises(ArgumentError, match=f"names none of the pool: '{idle.name}'"):
            await pool.drain(idle.name)
        await run.cancel()


async def test_label_of_nobody_is_refused_and_others_wait() -> None:
    """A lost server counts as one that comes back."""
    one, two = StandinServer("one", labels={"type": "a100"}), StandinServer("two")
    async with await pool_of(one, two) as pool:
        with pytest.raises(NoServerFits):
            await pool.submit(prompt(), labels={"type": "h100"})
        one.die()
        run = await pool.submit(prompt(), labels={"type": "a100|h100"})
        assert run.phase == "waiting"
        one.return_()
        attempt = await one.next_run()
        attempt.start()
        attempt.finish()
        await run
        not_there = await pool.submit(prompt(), labels={"type": "!a100"})
        assert (await two.next_run()).order.run_id == not_there.run_id


async def test_failure_that_nobody_hears_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As that of a connector's run."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        run = await pool.submit(prompt())
        attempt = await server.next_run()
        attempt.fail(ExecutionInterrupted("by somebody", prompt_id="p"))
        await until(lambda: run.done)
        other = await pool.submit(prompt())
        attempt = await server.next_run()
        attempt.fail(CallError("x", []))
        await until(lambda: other.done)
    assert f"run {other.run_id} failed, and nothing waits for it" in caplog.text
    assert run.run_id not in caplog.text


async def test_what_a_server_holds_is_forgotten_when_it_is_freed() -> None:
    """By the pool's own call, by its restart, and when its own figure says otherwise."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server) as pool:
        result = await (await pool.submit(prompt()))
        assert result.loads == ("checkpoints/a.safetensors",)
        assert (await (await pool.submit(prompt(seed=1)))).loads == ()
        await pool.free()
        assert server.freed == 1
        assert pool.status().servers[0].models == {}
        assert (await (await pool.submit(prompt(seed=2)))).loads == ("checkpoints/a.safetensors",)
        server.die()
        server.return_()
        await until(lambda: pool.status().servers[0].state == "ready")
        assert (await (await pool.submit(prompt(seed=3)))).loads == ("checkpoints/a.safetensors",)
        server.stats = {"devices": [{"type": "cuda", "vram_total": 24 * GB, "vram_free": 24 * GB}]}
        await pool._memory.look()
        assert pool.status().servers[0].vram_free == 24 * GB
        assert pool.status().servers[0].models == {}
