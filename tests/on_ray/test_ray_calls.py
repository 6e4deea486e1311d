"""What Ray does with calls of actors, as far as our pool relies on it: one test for each rule.

A new version of Ray that behaves otherwise fails here, and not in somebody's cluster.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from on_ray.actors import Counting, Ending, EndingLater, Failing, Loops, Placed, Streamer, Values, Waiter
from on_ray.clusters import SECONDS, hard_end, lives, local_cluster, start_driver
from waiting import until

from discomfort.exceptions import RunTimeout, ServerStartError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    # The start of a cluster is half a minute of work where everything else works too.
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of one node that pretends to have two GPUs."""
    with local_cluster(num_cpus=2, num_gpus=2, labels={"gpu": "l4"}) as module:
        from on_ray import actors

        module.cloudpickle.register_pickle_by_value(actors)
        yield module
        module.cloudpickle.unregister_pickle_by_value(actors)


def made(ray: Any, kind: type, *arguments: Any, **options: Any) -> Any:
    """An actor that takes no CPU, as only its number of processes costs anything here."""
    given = options.pop("given", {})
    return ray.remote(**{"num_cpus": 0, **options})(kind).remote(*arguments, **given)


# --- cancelling ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_wait_does_not_cancel_the_call(ray: Any) -> None:
    """Whoever stops waiting must cancel the run by a call of ours."""
    actor = made(ray, Waiter)
    waiting = asyncio.ensure_future(_result_of(actor.hold.remote()))
    await until(lambda: _begun(actor))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await actor.let_go.remote()
    await until(lambda: _happened(actor, "done"))
    assert await actor.what_happened.remote() == ["begun", "done"]


async def test_ray_cancel_raises_in_the_coroutine(ray: Any) -> None:
    """The coroutine sees a CancelledError; the caller gets an error of Ray, which asyncio does not take for its own."""
    actor = made(ray, Waiter)
    call = actor.hold.remote()
    await until(lambda: _begun(actor))

    ray.cancel(call)

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        await call
    assert isinstance(caught.value.cause, ray.exceptions.TaskCancelledError)
    assert not isinstance(caught.value, asyncio.CancelledError)
    assert await actor.what_happened.remote() == ["begun", "cancelled"]
    assert await actor.pid.remote() > 0


async def test_ray_cancel_cannot_force_an_actor(ray: Any) -> None:
    """So it is no means against a call that does not end; only the end of the actor is."""
    actor = made(ray, Waiter)
    call = actor.hold.remote()
    await until(lambda: _begun(actor))

    with pytest.raises(ValueError, match="force=True is not supported for actor tasks"):
        ray.cancel(call, force=True)

    await actor.let_go.remote()
    assert await call == "result"


# --- death ---------------------------------------------------------------------------------------------------------


async def test_without_restarts_a_killed_actor_is_dead(ray: Any, tmp_path: Path) -> None:
    """Its calls end with ActorDiedError, those after it too, and nothing runs a second time."""
    actor = made(ray, Counting, max_restarts=0, max_task_retries=0)
    call = actor.hold.remote(tmp_path / "begun")
    pid = await actor.pid.remote()
    await until((tmp_path / "begun").exists)

    hard_end(pid)

    with pytest.raises(ray.exceptions.ActorDiedError) as caught:
        await call
    assert f"pid: {pid}" in str(caught.value)
    assert not caught.value.actor_init_failed
    assert not caught.value.preempted
    with pytest.raises(ray.exceptions.ActorDiedError):
        await actor.pid.remote()
    assert (tmp_path / "begun").read_text().split() == [str(pid)]


async def test_with_restarts_nobody_knows(ray: Any, tmp_path: Path) -> None:
    """A call is then "unavailable", may have run or not, and the next goes to another process: ours have none."""
    actor = made(ray, Counting, max_restarts=1, max_task_retries=0)
    call = actor.hold.remote(tmp_path / "begun")
    pid = await actor.pid.remote()
    await until((tmp_path / "begun").exists)

    hard_end(pid)

    with pytest.raises(ray.exceptions.ActorUnavailableError, match="may or may not have been executed"):
        await call
    await until(lambda: _answers(ray, actor))
    assert await actor.pid.remote() != pid


async def test_with_retries_a_killed_call_runs_again(ray: Any, tmp_path: Path) -> None:
    """Behind the caller's back, which for a run means a second start: ours are never retried by Ray."""
    actor = made(ray, Counting, max_restarts=1, max_task_retries=1)
    begun = tmp_path / "begun"
    call = actor.hold.remote(begun)
    await until(lambda: begun.exists() and begun.read_text().endswith("\n"))
    first = int(begun.read_text())

    hard_end(first)

    await until(lambda: len(begun.read_text().split()) == 2)
    hard_end(int(begun.read_text().split()[1]))
    with pytest.raises(ray.exceptions.ActorDiedError):
        await call


async def test_ray_kill_takes_the_children_but_not_who_left(ray: Any, tmp_path: Path) -> None:
    """Ray ends the direct children of its workers, sessions or not: our watchdog is none, and can do its work."""
    actor = made(ray, Ending, tmp_path / "told")
    child, grandchild = await actor.start.remote()
    pid = await actor.pid.remote()
    assert lives(child)
    assert lives(grandchild)

    ray.kill(actor)

    await until(lambda: not lives(pid) and not lives(child))
    survives = lives(grandchild)
    hard_end(grandchild)
    assert survives
    assert not (tmp_path / "told").exists()


# --- the shutdown hook ---------------------------------------------------------------------------------------------


async def test_the_shutdown_hook_runs_at_a_request(ray: Any, tmp_path: Path) -> None:
    """In the main thread, which is not that of the actor's loop."""
    actor = made(ray, Ending, tmp_path / "told")
    pid = await actor.pid.remote()

    actor.__ray_terminate__.remote()

    await until(lambda: not lives(pid))
    assert (tmp_path / "told").read_text() == threading.main_thread().name


async def test_the_shutdown_hook_runs_at_sigterm(ray: Any, tmp_path: Path) -> None:
    """As a node sends it that is drained by its operator."""
    actor = made(ray, Ending, tmp_path / "told")
    pid = await actor.pid.remote()

    psutil.Process(pid).terminate()

    await until(lambda: not lives(pid))
    assert (tmp_path / "told").exists()


async def test_the_shutdown_hook_runs_when_nobody_has_a_handle(ray: Any, tmp_path: Path) -> None:
    """An actor that is not detached ends with its last handle."""
    actor = made(ray, Ending, tmp_path / "told")
    pid = await actor.pid.remote()

    del actor

    await until(lambda: not lives(pid))
    assert (tmp_path / "told").exists()


async def test_a_coroutine_as_shutdown_hook_never_runs(ray: Any, tmp_path: Path) -> None:
    """So ours is a plain method."""
    actor = made(ray, EndingLater, tmp_path / "told")
    pid = await actor.pid.remote()

    actor.__ray_terminate__.remote()

    await until(lambda: not lives(pid))
    assert not (tmp_path / "told").exists()


# --- loops and streams ---------------------------------------------------------------------------------------------


async def test_an_actor_has_one_loop(ray: Any) -> None:
    """For ``__init__``, which may be a coroutine and ends before any call, for calls and for streams."""
    actor = made(ray, Loops)

    first = await actor.of_init.remote()

    assert await actor.of_call.remote() == first
    assert [await item async for item in actor.of_stream.options(num_returns="streaming").remote()] == [first]


async def test_concurrency_groups_have_loops_of_their_own(ray: Any) -> None:
    """All coroutines of a connector belong to one loop, so our actors have no groups."""
    actor = made(ray, Loops, concurrency_groups={"calls": 2})

    assert await actor.of_call.options(concurrency_group="calls").remote() != await actor.of_init.remote()


async def test_many_calls_run_at_once(ray: Any) -> None:
    """Without being asked: more calls than any number of runs and questions that a server gets."""
    actor = made(ray, Waiter)

    calls = [actor.hold.remote() for _ in range(200)]
    await until(lambda: _happened(actor, *["begun"] * 200))
    await actor.let_go.remote()

    assert await asyncio.gather(*calls) == ["result"] * 200


async def test_a_stream_gives_its_items_in_order_and_ends(ray: Any) -> None:
    """Events, then the result as the last item."""
    actor = made(ray, Streamer)

    items = [await item async for item in _stream(actor.run, 50)]

    assert items == [*(("event", number) for number in range(50)), ("result", 50)]


async def test_a_streams_error_comes_after_its_items(ray: Any) -> None:
    """As the next item, whose await raises it with the actor's error as ``cause``; then the stream ends."""
    actor = made(ray, Streamer)
    stream = _stream(actor.fail)

    assert await (await anext(stream)) == "event"
    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        await (await anext(stream))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert isinstance(caught.value.cause, RunTimeout)


async def test_a_stream_ends_when_its_actor_dies(ray: Any) -> None:
    """What was sent arrives, then the error: no reader of a run waits for ever."""
    actor = made(ray, Streamer, max_restarts=0)
    stream = _stream(actor.hold)
    pid = await actor.pid.remote()
    assert await (await anext(stream)) == "event"

    hard_end(pid)

    with pytest.raises(ray.exceptions.ActorDiedError):
        await (await anext(stream))


async def test_a_stream_that_nobody_reads_goes_on(ray: Any) -> None:
    """To drop a stream is no way to cancel a run either."""
    actor = made(ray, Streamer)
    stream = _stream(actor.hold)
    assert await (await anext(stream)) == "event"

    del stream
    await actor.open.remote()

    await until(lambda: _reached_the_end(actor))


# --- what travels --------------------------------------------------------------------------------------------------


async def test_our_errors_arrive_as_they_were(ray: Any) -> None:
    """As ``cause`` of Ray's error, with class, fields and text; the error itself can be caught as ours, too."""
    actor = made(ray, Failing, given={"at_start": False})

    with pytest.raises(RunTimeout) as caught:
        await actor.run.remote()

    expected = RunTimeout("it took too long", timeout=2.0, prompt_id="p-1")
    cause = getattr(caught.value, "cause", None)
    assert type(cause) is RunTimeout
    assert (str(cause), cause.timeout, cause.prompt_id) == (str(expected), 2.0, "p-1")
    with pytest.raises(ServerStartError) as other:
        await actor.start.remote()
    assert getattr(other.value, "cause", other.value).log_tail == ("line 1", "line 2")


async def test_an_error_of_init_arrives_as_text_only(ray: Any) -> None:
    """So our actors start their servers in a call and not in ``__init__``."""
    actor = made(ray, Failing, given={"at_start": True})

    with pytest.raises(ray.exceptions.ActorDiedError, match="no port is free") as caught:
        await actor.run.remote()

    assert caught.value.actor_init_failed
    assert not isinstance(caught.value, ServerStartError)


async def test_bytes_travel_by_reference(ray: Any) -> None:
    """Put once, they arrive as bytes in every call that names the reference, and come back so."""
    actor = made(ray, Values)
    content = bytes(range(256)) * 8192
    put = ray.put(content)

    assert await actor.facts.remote(put) == ("bytes", len(content), None)
    assert await actor.give.remote(put) == content
    # Inside of something it stays a reference, which the actor gets when it wants to.
    assert (await actor.give.remote({"photo": put}))["photo"] == put


async def test_arrays_arrive_read_only(ray: Any) -> None:
    """They lie in shared memory: who wants to change one copies it first. Small ones, too."""
    actor = made(ray, Values)
    for size in (4, 1_000_000):
        array = np.zeros(size, np.uint8)

        assert await actor.facts.remote(ray.put(array)) == ("ndarray", size, False)
        assert await actor.refuses_to_write.remote(ray.put(array))
        assert not (await actor.give.remote(array)).flags.writeable
        assert array.flags.writeable


# --- placing -------------------------------------------------------------------------------------------------------


async def test_each_actor_has_a_gpu_of_its_own(ray: Any) -> None:
    """Ray tells the actor which by CUDA_VISIBLE_DEVICES, on a machine that only pretends to have GPUs, too."""
    actors = [made(ray, Placed, num_gpus=1) for _ in range(2)]

    assert sorted(await asyncio.gather(*(actor.gpus.remote() for actor in actors))) == ["0", "1"]


async def test_gpus_can_be_shared(ray: Any) -> None:
    """Two halves are on one GPU."""
    actors = [made(ray, Placed, num_gpus=0.5) for _ in range(2)]

    first, second = await asyncio.gather(*(actor.gpus.remote() for actor in actors))
    assert first == second is not None


async def test_a_label_of_the_node_decides(ray: Any) -> None:
    """By one of several values; a node that does not fit is not taken, and the actor waits without an error."""
    fitting = made(ray, Placed, label_selector={"gpu": "in(l4,h100)"})
    assert await fitting.node.remote() == ray.get_runtime_context().get_node_id()

    other = made(ray, Placed, label_selector={"gpu": "!in(l4,h100)"})
    call = other.node.remote()
    # Placed before it or never: Ray places in the order of the requests.
    assert await made(ray, Placed, label_selector={"gpu": "!a100"}).node.remote()
    assert ray.wait([call], timeout=0)[0] == []
    ray.kill(other)
    with pytest.raises(ray.exceptions.ActorDiedError):
        await call


# --- drivers -------------------------------------------------------------------------------------------------------


def test_local_means_a_cluster_of_its_own(ray: Any) -> None:
    """Whatever RAY_ADDRESS and the file of the last cluster say, which are wrong here: without it Ray obeys them."""
    assert os.environ["RAY_ADDRESS"] == "127.0.0.1:1"
    assert ray.get_runtime_context().gcs_address != "127.0.0.1:1"
    assert [node["Alive"] for node in ray.nodes()] == [True]


async def test_what_a_driver_leaves(ray: Any, tmp_path: Path) -> None:
    """Its actors end with it, without their hook; a named, detached one stays, and any driver can find it."""
    driver = start_driver(ray, "leaves", str(tmp_path / "told"))
    found = json.loads(driver.communicate(timeout=SECONDS)[0])

    await until(lambda: not lives(found["plain"]))
    assert not (tmp_path / "told").exists()
    named = ray.get_actor("front", namespace="pool")
    assert await named.pid.remote() == found["named"]
    ray.kill(named)


async def test_a_killed_driver_takes_its_actors_along(ray: Any, tmp_path: Path) -> None:
    """SIGKILL of the pool's process: nothing else needs to notice it."""
    driver = start_driver(ray, "waits", str(tmp_path / "told"))
    found = json.loads(await asyncio.to_thread(driver.stdout.readline))

    hard_end(driver.pid)
    driver.communicate()

    await until(lambda: not lives(found["plain"]))
    assert not (tmp_path / "told").exists()


def test_a_driver_needs_the_token(ray: Any, tmp_path: Path) -> None:
    """``ray.init`` makes one in the home of its user and switches authentication on; without it nobody gets in."""
    token = Path(os.environ["HOME"], ".ray", "auth_token")
    assert token.read_text()

    told, problem = start_driver(ray, "connects", HOME=str(tmp_path)).communicate(timeout=SECONDS)
    assert told == ""
    assert "AuthenticationError" in problem

    told, problem = start_driver(ray, "connects", HOME=str(tmp_path), RAY_AUTH_TOKEN_PATH=str(token)).communicate(
        timeout=SECONDS
    )
    assert json.loads(told) == {"nodes": 1}, problem


# --- helpers -------------------------------------------------------------------------------------------------------


def _stream(method: Any, *arguments: Any) -> AsyncIterator[Any]:
    stream: AsyncIterator[Any] = method.options(num_returns="streaming").remote(*arguments)
    return aiter(stream)


async def _result_of(call: Any) -> Any:
    return await call


async def _begun(actor: Any) -> bool:
    return "begun" in await actor.what_happened.remote()


async def _happened(actor: Any, *what: str) -> bool:
    return (await actor.what_happened.remote())[-len(what) :] == list(what)


async def _reached_the_end(actor: Any) -> bool:
    return await actor.ends.remote() == ["to the end"]


async def _answers(ray: Any, actor: Any) -> bool:
    try:
        return bool(await actor.pid.remote())
    except ray.exceptions.ActorUnavailableError:
        return False
