"""What the caller gets, by everything that may happen to a run of a pool."""

from __future__ import annotations

import asyncio

import pytest
from standin_servers import GB, StandinServer, pool_of, prompt, texts, workflow
from waiting import until

from discomfort.exceptions import (
    ArgumentError,
    ExecutionError,
    ExecutionInterrupted,
    FatalPromptError,
    NodeFailure,
    NoServerFits,
    OutOfMemoryError,
    PoolBusy,
    RunLostError,
    RunTimeout,
    ServerConnectionError,
    ServerDiedError,
    StateError,
)
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.pool_events import Stalled, Waiting
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.retry import Retry
from discomfort.pool.scheduler import Policy
from discomfort.progress import Done

FAILURE = NodeFailure("2", "Say", "Say", "RuntimeError", "broken", ())


async def where(run: PoolRun, *servers: StandinServer) -> tuple[StandinServer, StandinServer]:
    """The server that has got a run, and the other one."""
    await until(lambda: run.server)
    first, second = servers
    return (first, second) if first.name == run.server else (second, first)


def out_of_memory() -> OutOfMemoryError:
    """The error of a node without memory."""
    return OutOfMemoryError(FAILURE, prompt_id="p")


async def test_a_full_queue_is_busy() -> None:
    """Of the pool, and of one tenant; the error says when to come again."""
    server = StandinServer("one")
    async with await pool_of(server, options=PoolOptions(max_waiting=2, max_waiting_per_tenant=1)) as pool:
        await pool.submit(prompt())
        await server.next_run()
        await pool.submit(prompt(), tenant="acme")
        with pytest.raises(PoolBusy, match="1 runs of the tenant 'acme' wait already") as caught:
            await pool.submit(prompt(), tenant="acme")
        assert caught.value.retry_after > 0
        await pool.submit(prompt())
        with pytest.raises(PoolBusy, match="2 runs wait already"):
            await pool.submit(prompt(), tenant="other")


async def test_death_before_the_start_costs_nothing() -> None:
    """The run waits again under the same id, and says why."""
    servers = StandinServer("one"), StandinServer("two")
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt(text="hi"))
        first, other = await where(run, *servers)
        await first.next_run()
        events = run.events()
        first.die()
        again = await other.next_run()
        assert again.order.run_id == run.run_id
        again.start()
        again.finish()
        assert texts(await run) == ["hi"]
        seen = [event async for event in events]
        assert any(isinstance(event, Waiting) and event.reason == f"server {first.name} died" for event in seen)
        assert [event.kind for event in seen if isinstance(event, Done)] == ["done"]
        assert isinstance(seen[-1], Done)


async def test_death_after_the_start_loses_the_run() -> None:
    """It is not begun twice, unless somebody says so."""
    servers = StandinServer("one"), StandinServer("two")
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt())
        first, _ = await where(run, *servers)
        begun = await first.next_run()
        begun.start()
        begun.begin_node("1")
        first.die("killed from outside")
        with pytest.raises(RunLostError, match="killed from outside") as caught:
            await run
        error = caught.value
        assert (error.started, error.server, error.last_event) == (True, first.name, "loading")
        assert isinstance(error.death, ServerDiedError)
        assert all(not server.runs for server in servers)


async def test_retry_takes_another_server_never_the_same() -> None:
    """Also while the first one is back already, and the other one is busy."""
    one, two = StandinServer("one"), StandinServer("two")
    async with await pool_of(one, two) as pool:
        blocker = await pool.submit(prompt("b.safetensors"))
        busy, first = await where(blocker, one, two)
        held = await busy.next_run()
        run = await pool.submit(prompt(text="twice"), retry=Retry(times=1))
        begun = await first.next_run()
        begun.start()
        first.die()
        first.return_()
        await until(lambda: {server.state for server in pool.status().servers} == {"ready"})
        assert run.phase == "waiting"
        held.start()
        held.finish()
        again = await busy.next_run()
        again.start()
        again.finish()
        assert texts(await run) == ["twice"]
        await blocker


async def test_second_death_is_the_last() -> None:
    """A run that killed two servers gets no third, whatever retry says, and its prompt is refused from then on."""
    servers = [StandinServer(name) for name in ("one", "two", "three")]
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt(text="killer"), retry=Retry(times=9))
        for _ in range(2):
            await until(lambda: run.phase == "assigned")
            server = next(server for server in servers if server.name == run.server)
            (await server.next_run()).start()
            server.die()
        with pytest.raises(FatalPromptError, match="2 servers were lost while they executed the run") as caught:
            await run
        assert len(caught.value.deaths) == 2
        assert sum(server.is_ready for server in servers) == 1
        with pytest.raises(FatalPromptError):
            await pool.submit(prompt(text="killer"))
        await pool.submit(prompt(text="innocent"))


async def test_only_server_of_a_pool_may_get_the_run_again() -> None:
    """Where there is no other one, the next life of the same server counts as another."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        run = await pool.submit(prompt(), retry=Retry(times=1))
        (await server.next_run()).start()
        server.die()
        assert run.phase in ("running", "waiting")
        server.return_()
        again = await server.next_run()
        again.start()
        again.finish()
        await run


async def test_out_of_memory_goes_to_a_larger_server_once() -> None:
    """And ends with the error where there is none."""
    small, large = StandinServer("small", vram=8 * GB), StandinServer("large", vram=48 * GB, labels={"is": "large"})
    async with await pool_of(small, large) as pool:
        blocker = await pool.submit(prompt(), labels={"is": "large"})
        held = await large.next_run()
        run = await pool.submit(prompt())
        attempt = await small.next_run()
        attempt.start()
        attempt.fail(out_of_memory())
        await until(lambda: run.phase == "waiting")
        held.start()
        held.finish()
        again = await large.next_run()
        assert again.order.run_id == run.run_id
        again.start()
        again.fail(out_of_memory())
        with pytest.raises(OutOfMemoryError):
            await run
        await blocker


async def test_error_of_a_node_is_the_end() -> None:
    """Nothing is tried again, whatever retry says."""
    servers = StandinServer("one"), StandinServer("two")
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt(), retry=Retry(times=3))
        first, other = await where(run, *servers)
        attempt = await first.next_run()
        attempt.start()
        attempt.fail(ExecutionError(FAILURE, prompt_id="p"))
        with pytest.raises(ExecutionError):
            await run
        assert not first.runs
        assert not other.runs


async def test_cancel_of_what_waits_and_of_what_runs() -> None:
    """The queue loses it at once; a server is told to end it, and takes the next one then."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        running = await pool.submit(prompt())
        attempt = await server.next_run()
        attempt.start()
        waiting, last = await pool.submit(prompt()), await pool.submit(prompt(text="last"))
        assert await waiting.cancel()
        assert not await waiting.cancel()
        with pytest.raises(ExecutionInterrupted, match="was cancelled"):
            await waiting
        assert await running.cancel()
        assert attempt.was_cancelled
        with pytest.raises(ExecutionInterrupted):
            await running
        following = await server.next_run()
        assert following.order.run_id == last.run_id


@pytest.mark.parametrize("begins", [False, True])
async def test_timeout(begins: bool) -> None:
    """Covers the wait for a server and the run."""
    server = StandinServer("one")
    async with await pool_of(server) as pool:
        if not begins:
            await pool.submit(prompt())
            await server.next_run()
        run = await pool.submit(prompt(), timeout=0.05)
        with pytest.raises(RunTimeout, match=r"longer than 0.05 s; the time passed (while it waited|on server one)"):
            await run
        assert pool.status().waiting == 0


async def test_timeout_covers_the_conversion() -> None:
    """A frontend that does not answer is no reason to wait for longer."""
    server = StandinServer("one")
    server.conversion = asyncio.Event()
    async with await pool_of(server) as pool:
        with pytest.raises(RunTimeout, match=r"not ready to wait for a server within 0\.05 s"):
            await pool.submit(workflow(), timeout=0.05)
        assert pool.status().waiting == 0


async def test_wrong_requirements_are_refused_at_once() -> None:
    """With the reason of each server."""
    servers = StandinServer("one", labels={"type": "l4"}), StandinServer("two", vram=8 * GB)
    async with await pool_of(*servers) as pool:
        with pytest.raises(NoServerFits) as caught:
            await pool.submit(prompt(), labels={"type": "l4"}, vram_gb=40)
        assert caught.value.reasons == {
            "one": ("has 24 GB of VRAM, and 40 are required",),
            "two": ("has 8 GB of VRAM, and 40 are required", "has type=nothing, and l4 is required"),
        }


async def test_silent_owned_server_is_ended() -> None:
    """The run hears of the silence, then of the death; it may begin again since the server is known to be dead."""
    one, two = StandinServer("one"), StandinServer("two")
    async with await pool_of(one, two, options=PoolOptions(silent_after=0.2)) as pool:
        run = await pool.submit(prompt(), retry=Retry(times=1))
        silent, other = await where(run, one, two)
        (await silent.next_run()).start()
        events = run.events()
        silent.silent = "HTTP does not answer"
        again = await other.next_run()
        again.start()
        again.finish()
        await run
        assert any(isinstance(event, Stalled) and event.server == silent.name for event in [e async for e in events])
        assert "HTTP does not answer" in silent.given_up[0]


async def test_silent_attached_server_is_left() -> None:
    """Nobody can end it, so the run is lost unless it may begin twice."""
    server = StandinServer("one", is_owned=False)
    async with await pool_of(server, options=PoolOptions(silent_after=0.2)) as pool:
        run = await pool.submit(prompt())
        (await server.next_run()).start()
        server.silent = "HTTP does not answer"
        with pytest.raises(RunLostError) as caught:
            await run
        assert isinstance(caught.value.death, ServerConnectionError)
        assert pool.status().servers[0].state == "lost"
        server.silent = ""
        server.return_()
        await until(lambda: pool.status().servers[0].state == "ready")


async def test_broken_connection_may_have_begun_the_run() -> None:
    """Nobody knows, so it is not begun again: ``started`` is false, and the text says that it may have."""
    servers = StandinServer("one", is_owned=False), StandinServer("two", is_owned=False)
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt())
        first, _ = await where(run, *servers)
        (await first.next_run()).fail(ServerConnectionError("reset", url="http://one"))
        with pytest.raises(RunLostError, match="may have begun") as caught:
            await run
        assert not caught.value.started


async def test_drain_waits_and_then_interrupts() -> None:
    """What does not end in time is lost, unless its retry allows another server."""
    one, two = StandinServer("one"), StandinServer("two")
    async with await pool_of(one, two) as pool:
        run = await pool.submit(prompt(text="moved"), retry=Retry(times=1))
        leaving, other = await where(run, one, two)
        attempt = await leaving.next_run()
        attempt.start()
        assert not await pool.drain(leaving.name, deadline=0.05)
        assert attempt.was_cancelled
        again = await other.next_run()
        again.start()
        again.finish()
        assert texts(await run) == ["moved"]
        assert {server.name: server.state for server in pool.status().servers}[leaving.name] == "draining"
        pool.resume(leaving.name)
        assert {server.state for server in pool.status().servers} == {"ready"}


async def test_drained_servers_are_not_dead() -> None:
    """A run that is interrupted by two drains begins a third time if it may; its prompt is not refused."""
    servers = [StandinServer(name) for name in ("one", "two", "three")]
    async with await pool_of(*servers) as pool:
        run = await pool.submit(prompt(), retry=Retry(times=2))
        for _ in range(2):
            await until(lambda: run.phase == "assigned")
            server = next(server for server in servers if server.name == run.server)
            (await server.next_run()).start()
            assert not await pool.drain(server.name, deadline=0)
        await until(lambda: run.phase == "assigned")
        last = next(server for server in servers if server.name == run.server)
        attempt = await last.next_run()
        attempt.start()
        with pytest.raises(RunLostError, match="was drained after the run had begun"):
            await asyncio.gather(pool.drain(last.name, deadline=0), run)
        for server in servers:
            pool.resume(server.name)
        await pool.submit(prompt())


async def test_drained_server_stays_so_when_it_comes_back() -> None:
    """Drained while it is lost; it gets runs after resume() only."""
    one, two = StandinServer("one"), StandinServer("two")
    async with await pool_of(one, two) as pool:
        one.die()
        assert await pool.drain("one")
        one.return_()
        await until(lambda: {server.name: server.state for server in pool.status().servers}["one"] == "draining")
        runs = [await pool.submit(prompt()) for _ in range(2)]
        await two.next_run()
        assert [run.phase for run in runs] == ["assigned", "waiting"]
        pool.resume("one")
        assert (await one.next_run()).order.run_id == runs[1].run_id


async def test_tenant_without_a_server_of_its_own_is_told() -> None:
    """With share="never", once every server belongs to somebody else."""
    server = StandinServer("one", hand=False)
    async with await pool_of(server, options=PoolOptions(Policy(share="never"))) as pool:
        await (await pool.submit(prompt(), tenant="acme"))
        with pytest.raises(NoServerFits, match="belongs to another tenant"):
            await pool.submit(prompt(), tenant="other")


async def test_connectors_of_a_pool_never_submit_again_by_themselves() -> None:
    """That would begin a run twice without Retry."""
    with pytest.raises(ArgumentError, match="on_server_death"):
        await ComfyPool.create(servers=1, engine="emulator", on_server_death="restart_and_resubmit")


async def test_close_ends_everything_that_waits() -> None:
    """Runs, events, map, as_completed and drain, each with its own error and at once; later calls are refused."""
    server = StandinServer("one")
    pool = await pool_of(server)
    running, waiting = await pool.submit(prompt()), await pool.submit(prompt())
    attempt = await server.next_run()
    attempt.start()
    mapped = asyncio.create_task(pool.map(prompt(), [{}, {}]))
    drained = asyncio.create_task(pool.drain("one"))
    events = asyncio.create_task(_all(running))
    await until(lambda: pool.status().waiting == 3)
    await pool.aclose()
    for run in (running, waiting):
        with pytest.raises(ExecutionInterrupted, match="the pool was closed"):
            await run
    assert isinstance((await events)[-1], Done)
    with pytest.raises(ExecutionInterrupted):
        await mapped
    assert await drained in (True, False)
    with pytest.raises(StateError, match="was closed"):
        await pool.submit(prompt())
    assert server.closed == 1
    await pool.aclose()


async def _all(run: object) -> list[object]:
    return [event async for event in run.events()]  # type: ignore[attr-defined]


async def test_close_with_drain_lets_runs_end() -> None:
    """No new ones are taken meanwhile."""
    server = StandinServer("one")
    pool = await pool_of(server)
    run = await pool.submit(prompt(text="finished"))
    attempt = await server.next_run()
    attempt.start()
    closing = asyncio.create_task(pool.aclose(drain=30))
    await asyncio.sleep(0)
    with pytest.raises(StateError):
        await pool.submit(prompt())
    attempt.finish()
    await closing
    assert texts(await run) == ["finished"]


async def test_cancelled_close_waits_for_runs_no_longer() -> None:
    """Ctrl-C while the pool drains: everything is released all the same, and the cancellation arrives."""
    server = StandinServer("one")
    pool = await pool_of(server)
    run = await pool.submit(prompt())
    await server.next_run()
    closing = asyncio.create_task(pool.aclose(drain=3600))
    await until(lambda: pool.status().is_closing)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(ExecutionInterrupted):
        await run
    assert server.closed == 1


async def test_failed_start_releases_the_others() -> None:
    """Construct or unwind: the error is the server's own."""
    good, bad = StandinServer("good"), StandinServer("bad")
    bad.start_error = ServerDiedError("no GPU")
    with pytest.raises(ServerDiedError, match="no GPU"):
        await pool_of(good, bad)
    assert good.closed == 1
