"""Runs as objects: submitted, read, cancelled, found again; runs with values and files; the server's queue."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.graphs import gate_prompt, node, picture_prompt, record_of, show_prompt, texts_of
from PIL import Image
from waiting import until

from discomfort import ComfyConnector
from discomfort.connector.run_handle import Run
from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    InputSelectorError,
    OutOfMemoryError,
    PayloadError,
    PromptLostError,
    RunTimeout,
    StateError,
    UploadError,
    ValidationError,
)
from discomfort.progress import Done, NodeOutput, NodeStarted, ProgressEvent, Queued, Started


async def events_of(run: Run) -> list[ProgressEvent]:
    """All events from now on."""
    return [event async for event in run.events()]


@asynccontextmanager
async def attached(connector: ComfyConnector) -> AsyncIterator[ComfyConnector]:
    """A second connector on the same server, as of another process."""
    async with await ComfyConnector.attach(connector.server_address, browser="lazy") as other:
        yield other


async def queue_raw(raw: aiohttp.ClientSession, prompt: dict[str, Any]) -> str:
    """Queue a prompt as another program would."""
    prompt_id = str(uuid.uuid4())
    async with raw.post("/prompt", json={"prompt": prompt, "prompt_id": prompt_id}) as response:
        assert response.status == 200, await response.text()
    return prompt_id


# --- submit --------------------------------------------------------------------------------------------------------


async def test_submitted_run_from_the_queue_to_its_end(connector: ComfyConnector, gate: Path) -> None:
    """The status follows the run; its history can be awaited again and again, and is the waiter's own."""
    first = await connector.submit(gate_prompt(gate), False)
    second = await connector.submit(show_prompt(4), False)
    assert second.status.phase == "queued"
    assert second.status.position == 1
    assert str(second.status) == "queued, 1 before it"
    assert not second.done
    await until(lambda: first.status.title is not None)
    assert (first.status.phase, first.status.class_type, first.status.index) == ("running", "ContractGate", 1)
    with pytest.raises(StateError, match="await it before outputs"):
        second.outputs()
    gate.touch()
    history = await second
    assert texts_of(history) == ["4"]
    assert (second.status.phase, second.status.success, second.done) == ("ended", True, True)
    assert second.prompt_id in history
    history.clear()
    assert texts_of(await second) == ["4"]
    (output,) = second.outputs()
    assert await output.read() == b"4"
    assert 0 < second.seconds == second.seconds
    await first


async def test_submit_raises_what_prevents_the_submission(connector: ComfyConnector) -> None:
    """Nothing is queued; a failure that comes later is raised by the run."""
    with pytest.raises(ValidationError):
        await connector.submit({"1": node("ContractShow")}, False)
    with pytest.raises(PayloadError):
        await connector.submit("[1]", False)
    run = await connector.submit({"1": node("ContractFail", kind="ValueError", message="m")}, False)
    for _ in range(2):
        with pytest.raises(ExecutionError, match="ValueError"):
            await run
    assert run.status.success is False
    with pytest.raises(ExecutionError):
        run.outputs()
    assert not await run.cancel()


async def test_a_timeout_is_a_number(connector: ComfyConnector) -> None:
    """Anything else is refused before anything is done."""
    for timeout in ("5", True):
        for call in (connector.run_workflow, connector.submit):
            with pytest.raises(TypeError, match="timeout must be a number of seconds or None, not"):
                await call(show_prompt(1), False, timeout=timeout)  # type: ignore[operator]
        with pytest.raises(TypeError, match="timeout must be a number"):
            await connector.run(show_prompt(1), timeout=timeout)  # type: ignore[arg-type]


async def test_timeout_covers_the_submitted_run(connector: ComfyConnector, gate: Path) -> None:
    """It takes the prompt off the server."""
    run = await connector.submit(gate_prompt(gate), False, timeout=0.5)
    with pytest.raises(RunTimeout):
        await run
    await until(lambda: is_idle(connector))


async def is_idle(connector: ComfyConnector) -> bool:
    """Whether the server has nothing to do."""
    return not await connector.queue()


async def test_cancelled_submit_leaves_nothing_on_the_server(connector: ComfyConnector, gate: Path) -> None:
    """Cancelled at any moment: before the prompt is there, or after."""
    for pause in (0.0, 0.001, 0.005, 0.02):
        task = asyncio.create_task(connector.submit(gate_prompt(gate), False))
        await asyncio.wait([task], timeout=pause)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task.result().cancel()
    await until(lambda: is_idle(connector))
    assert connector._wired.submissions.under_way == ()


async def test_cancel_ends_this_run_only(connector: ComfyConnector, gate: Path) -> None:
    """A queued one and one that runs; every waiter gets a typed error, and the others go on."""
    running = await connector.submit(gate_prompt(gate), False)
    queued = await connector.submit(show_prompt(5), False)
    kept = await connector.submit(show_prompt(6), False)
    waiting = [asyncio.ensure_future(waited(run)) for run in (running, queued, queued)]
    assert await queued.cancel()
    assert not await queued.cancel()
    assert await running.cancel()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, ExecutionInterrupted), error
        assert "was cancelled" in str(error)
    assert texts_of(await kept) == ["6"]
    assert (await events_of(queued))[-1] == Done(queued.prompt_id, success=False)


async def waited(run: Run) -> Any:
    """The run, in a coroutine."""
    return await run


async def test_two_cancel_one_run(connector: ComfyConnector, gate: Path) -> None:
    """Both wait until the prompt is off the server."""
    run = await connector.submit(gate_prompt(gate), False)
    await until(lambda: run.status.phase == "running")
    assert await asyncio.gather(run.cancel(), run.cancel()) == [True, True]
    assert named_tasks("discomfort-withdraw") == 0
    assert (await run_error(run)).prompt_id == run.prompt_id


def named_tasks(name: str) -> int:
    """How many tasks of that name are under way."""
    return sum(task.get_name() == name for task in asyncio.all_tasks())


async def run_error(run: Run) -> ExecutionInterrupted:
    """The error that the run ends with."""
    with pytest.raises(ExecutionInterrupted) as caught:
        await run
    return caught.value


async def test_done_is_the_end_of_a_run_out_of_memory(connector: ComfyConnector) -> None:
    """Who cancels after Done comes too late, and the error stays what it is."""
    prompt = {"1": node("ContractFail", kind="MemoryError", message="full")}
    run = await connector.submit(prompt, False)
    kinds = [type(event) async for event in run.events()]
    assert (kinds[-1], run.done, run.status.phase) == (Done, True, "ended")
    assert not await run.cancel()
    with pytest.raises(OutOfMemoryError):
        run.outputs()


async def test_two_tasks_share_a_reader(connector: ComfyConnector, gate: Path) -> None:
    """Each event goes to one of them, and the end to both."""
    run = await connector.submit(gate_prompt(gate), False)
    reader = run.events()

    async def rest() -> list[ProgressEvent]:
        return [event async for event in reader]

    tasks = [asyncio.create_task(rest()) for _ in range(2)]
    await asyncio.sleep(0)
    gate.touch()
    async with asyncio.timeout(60):
        first, second = await asyncio.gather(*tasks)
    assert [type(event) for event in first + second].count(Done) == 1


async def test_a_run_belongs_to_its_loop(connector: ComfyConnector, gate: Path) -> None:
    """Elsewhere a StateError, and after its end the result."""
    run = await connector.submit(gate_prompt(gate), False)

    async def use() -> None:
        for call in (lambda: waited(run), run.cancel):
            with pytest.raises(StateError, match="another event loop"):
                await call()
        with pytest.raises(StateError, match="another event loop"):
            run.events()

    await asyncio.to_thread(lambda: asyncio.run(use()))
    gate.touch()
    history = await run
    assert await asyncio.to_thread(lambda: asyncio.run(waited(run))) == history
    assert run.result() == history


async def test_cancelled_waiter_does_not_cancel_the_run(connector: ComfyConnector, gate: Path) -> None:
    """Others may wait for it."""
    run = await connector.submit(gate_prompt(gate), False)
    waiter = asyncio.ensure_future(waited(run))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.touch()
    assert record_of(await run)["status"]["status_str"] == "success"


async def test_failure_that_nobody_waits_for_is_logged(
    connector: ComfyConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, as a warning; not where it is awaited."""
    run = await connector.submit({"1": node("ContractFail", kind="ValueError", message="unheard")}, False)
    await until(lambda: run.done)
    assert [record.levelname for record in caplog.records if "nothing waits for it" in record.message] == ["WARNING"]
    caplog.clear()
    run = await connector.submit({"1": node("ContractFail", kind="ValueError", message="heard")}, False)
    with pytest.raises(ExecutionError):
        await run
    read = await connector.submit({"1": node("ContractFail", kind="ValueError", message="read")}, False)
    assert (await events_of(read))[-1] == Done(read.prompt_id, success=False)
    assert not [record for record in caplog.records if "nothing waits" in record.message]


# --- events --------------------------------------------------------------------------------------------------------


async def test_readers_get_all_events_and_late_ones_the_present_first(
    connector: ComfyConnector, gate: Path, tmp_path: Path
) -> None:
    """Three from the start, one in the middle, one after the end."""
    before = await connector.submit(gate_prompt(tmp_path / "before"), False)
    run = await connector.submit({**gate_prompt(gate), "2": node("ContractShow", value=["1", 0])}, False)
    early = [asyncio.ensure_future(events_of(run)) for _ in range(3)]
    await asyncio.sleep(0)
    (tmp_path / "before").touch()
    await before
    await until(lambda: run.status.title is not None)
    late = run.events()
    first, second = await anext(late), await anext(late)
    assert isinstance(first, Started)
    assert isinstance(second, NodeStarted)
    gate.touch()
    seen = await asyncio.gather(*early)
    assert seen[0] == seen[1] == seen[2]
    assert isinstance(seen[0][0], Queued)
    assert isinstance(seen[0][-1], Done)
    rest = [event async for event in late]
    assert rest == seen[0][-len(rest) :]
    assert await events_of(run) == [seen[0][-1]]
    outputs = [next(event for event in events if isinstance(event, NodeOutput)) for events in seen]
    assert outputs[0].output is not outputs[1].output


async def test_many_runs_with_three_readers_each(connector: ComfyConnector) -> None:
    """In order, none lost, none of another run."""
    runs = await asyncio.gather(*(connector.submit(show_prompt(1000 + number), False) for number in range(64)))
    readers = [[asyncio.ensure_future(events_of(run)) for _ in range(3)] for run in runs]
    abandoned = [run.events() for run in runs]
    for run, tasks in zip(runs, readers, strict=True):
        for events in await asyncio.gather(*tasks):
            assert {event.prompt_id for event in events} == {run.prompt_id}
            kinds = [type(event) for event in events]
            assert kinds[0] in {Queued, Started, Done}
            assert kinds[-1] is Done
            assert kinds.count(Done) == 1
            assert sorted(kinds, key=[Queued, Started, NodeStarted, NodeOutput, Done].index) == kinds
        assert texts_of(await run) == [str(1000 + runs.index(run))]
    assert len(abandoned) == 64
    assert connector._wired.submissions.under_way == ()


# --- find ----------------------------------------------------------------------------------------------------------


async def test_found_while_queued_running_and_ended(
    connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path
) -> None:
    """Prompts of another program: the status is polled, the result is theirs."""
    first, second = await queue_raw(raw, gate_prompt(gate)), await queue_raw(raw, show_prompt(7))
    running, queued = await connector.find(first), await connector.find(second)
    assert running.prompt_id == first
    assert queued.status.phase == "queued"
    assert queued.status.position == 1
    await until(lambda: running.status.phase == "running")
    reading = asyncio.ensure_future(events_of(queued))
    gate.touch()
    assert texts_of(await queued) == ["7"]
    assert isinstance((await reading)[-1], Done)
    ended = await connector.find(second)
    assert texts_of(await ended) == ["7"]
    assert ended.status.success is True
    assert [output.value for output in ended.outputs()] == ["7"]
    await running


async def test_found_run_that_failed_raises_its_error(connector: ComfyConnector, raw: aiohttp.ClientSession) -> None:
    """Not where it is looked for, but where it is awaited."""
    prompt_id = await queue_raw(raw, {"1": node("ContractFail", kind="ValueError", message="m")})
    await until(lambda: is_idle(connector))
    run = await connector.find(prompt_id)
    with pytest.raises(ExecutionError, match="ValueError"):
        await run


async def test_unknown_prompts_are_not_found(connector: ComfyConnector) -> None:
    """At once, with the reason."""
    with pytest.raises(PromptLostError, match="neither queued nor in the history"):
        await connector.find(str(uuid.uuid4()))
    with pytest.raises(PayloadError, match="prompt_id"):
        await connector.find("")


async def test_own_run_is_found_as_itself(connector: ComfyConnector, gate: Path) -> None:
    """Also one of run_workflow."""
    run = await connector.submit(gate_prompt(gate), False)
    assert await connector.find(run.prompt_id) == run
    other = asyncio.ensure_future(connector.run_workflow(show_prompt(8), False))
    await until(lambda: len(connector._wired.submissions.under_way) == 2 and all_known(connector))
    (known,) = [known for known in connector._wired.submissions.under_way if known is not run._task]
    mine = await connector.find(known.prompt_id)
    assert mine != run
    gate.touch()
    assert await mine == await other
    await run


async def test_own_run_of_run_workflow_is_cancelled_by_whoever_found_it(connector: ComfyConnector, gate: Path) -> None:
    """Its owner gets the typed error, since its own task was not cancelled; the prompt is off the server."""
    owner = asyncio.ensure_future(connector.run_workflow(gate_prompt(gate), False))
    await until(lambda: connector._wired.submissions.under_way and all_known(connector))
    found = await connector.find(connector._wired.submissions.under_way[0].prompt_id)
    await until(lambda: found.status.phase == "running")

    assert await found.cancel()

    with pytest.raises(ExecutionInterrupted, match="was cancelled"):
        await owner
    assert owner.cancelling() == 0
    with pytest.raises(ExecutionInterrupted, match="was cancelled"):
        await found
    assert not await found.cancel()
    await until(lambda: is_idle(connector))


async def test_found_run_of_run_workflow_ends_with_its_owner(connector: ComfyConnector, gate: Path) -> None:
    """Whoever found it, and waits, gets the typed error."""
    owner = asyncio.ensure_future(connector.run_workflow(gate_prompt(gate), False))
    await until(lambda: connector._wired.submissions.under_way and all_known(connector))
    found = await connector.find(connector._wired.submissions.under_way[0].prompt_id)
    waiting = asyncio.ensure_future(waited(found))
    await asyncio.sleep(0)
    owner.cancel()

    with pytest.raises(asyncio.CancelledError):
        await owner
    with pytest.raises(ExecutionInterrupted, match="was cancelled"):
        await waiting
    assert found.done
    await until(lambda: is_idle(connector))


def all_known(connector: ComfyConnector) -> bool:
    """Whether every run has its id."""
    return all(run.prompt_id for run in connector._wired.submissions.under_way)


async def test_found_run_stays_when_the_connector_goes_and_ends_when_cancelled(
    connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path
) -> None:
    """It is somebody else's, until it is cancelled by name."""
    prompt_id = await queue_raw(raw, gate_prompt(gate))
    async with attached(connector) as other:
        run = await other.find(prompt_id)
        waiting = asyncio.ensure_future(waited(run))
        await asyncio.sleep(0)
    with pytest.raises(ExecutionInterrupted):
        await waiting
    assert prompt_id in (await connector.queue()).running + (await connector.queue()).pending
    found = await connector.find(prompt_id)
    assert await found.cancel()
    await until(lambda: is_idle(connector))
    with pytest.raises(ExecutionInterrupted, match="cancelled"):
        await found


PROGRAM = """
import asyncio, sys
from discomfort import ComfyConnector

async def main():
    connector = await ComfyConnector.attach(sys.argv[1], browser="lazy")
    run = await connector.submit(sys.stdin.read(), False)
    print(run.prompt_id, flush=True)
    await run

asyncio.run(main())
"""


async def test_run_of_a_killed_process_is_found_by_the_next(connector: ComfyConnector, gate: Path) -> None:
    """While it runs, and once it has ended."""
    import json

    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, connector.server_address, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(json.dumps(gate_prompt(gate)).encode())
    program.stdin.close()
    prompt_id = (await program.stdout.readline()).decode().strip()
    program.send_signal(signal.SIGKILL)
    await program.wait()
    run = await connector.find(prompt_id)
    await until(lambda: run.status.phase == "running")
    gate.touch()
    history = await run
    assert await (await connector.find(prompt_id)) == history


async def test_several_look_for_one_prompt(connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path) -> None:
    """Each gets the answer; one that is cancelled does not end the search, or the run, of the others."""
    unknown = str(uuid.uuid4())
    lost = await asyncio.gather(*(connector.find(unknown) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in lost] == [PromptLostError] * 3
    prompt_id = await queue_raw(raw, gate_prompt(gate))
    first, second = (asyncio.create_task(connector.find(prompt_id)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    run = await second
    assert first.cancelled()
    gate.touch()
    assert prompt_id in await run
    alone = asyncio.create_task(connector.find(unknown))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait([alone])
    await until(lambda: connector._wired.submissions.under_way == ())


# --- the end from elsewhere ----------------------------------------------------------------------------------------


async def test_shutdown_ends_runs_waiters_and_readers(connector: ComfyConnector, gate: Path) -> None:
    """At once, each with its typed end."""
    other = await ComfyConnector.attach(connector.server_address, browser="lazy")
    run = await other.submit(gate_prompt(gate), False)
    waiting, reading = asyncio.ensure_future(waited(run)), asyncio.ensure_future(events_of(run))
    submitting = asyncio.ensure_future(other.submit(show_prompt(9), False))
    await asyncio.sleep(0)
    await other.kill_api()
    with pytest.raises(ExecutionInterrupted, match=r"shut down|closed"):
        await waiting
    assert isinstance((await reading)[-1], Done)
    with pytest.raises(ExecutionInterrupted):
        await submitting
    assert other._wired.submissions.under_way == ()
    with pytest.raises(StateError):
        await other.find(run.prompt_id)
    await until(lambda: is_idle(connector))


# --- run -----------------------------------------------------------------------------------------------------------


async def test_run_sets_values_and_files(connector: ComfyConnector, tmp_path: Path) -> None:
    """One call: values by selector, files of any kind, and a result object; the uploads are gone afterwards."""
    prompt = {
        "1": node("LoadImage", "Photo", image="none.png"),
        "2": node("PreviewImage", images=["1", 0]),
        "3": node("ContractShow", "Number", value=1),
    }
    picture = Image.new("RGB", (16, 8), (200, 10, 10))
    path, stream = tmp_path / "photo.png", io.BytesIO()
    picture.save(path)
    picture.save(stream, "PNG")
    for source in (path, str(path), path.read_bytes(), io.BytesIO(stream.getvalue()), picture):
        result = await connector.run(prompt, {"Number.value": 33}, files={"Photo.image": source})
        assert [output.value for output in result.outputs if output.title == "Number"] == ["33"]
        (output,) = result.images
        assert (await output.image()).size == (16, 8)
        assert result.prompt_id in result.history
        assert result.seconds > 0
        (saved,) = await result.save(tmp_path / "out")
        assert saved.read_bytes() == await output.read()
    assert prompt["3"]["inputs"] == {"value": 1}
    assert not list(Path(connector._parts.engine.folders.input).glob("*-photo.png"))  # type: ignore[union-attr]
    html = result._repr_html_()
    assert "data:image/png;base64," in html
    assert "33" in html


async def test_submit_sets_values_and_files(connector: ComfyConnector, gate: Path) -> None:
    """As ``run`` does: a wrong input is raised at once, and the uploads last until the end of the run."""
    prompt = {
        "1": node("LoadImage", "Photo", image="none.png"),
        "2": node("PreviewImage", images=["1", 0]),
        "8": gate_prompt(gate)["1"],
        "9": node("ContractShow", "Number", value=1),
    }
    folder = Path(connector._parts.engine.folders.input)  # type: ignore[union-attr]
    before, picture = set(folder.iterdir()), Image.new("RGB", (16, 8), (200, 10, 10))
    with pytest.raises(InputSelectorError, match="NoSuch"):
        await connector.submit(prompt, False, values={"NoSuch.value": 2})
    run = await connector.submit(prompt, False, values={"Number.value": 44}, files={"Photo.image": picture})
    await until((gate.parent / f"{gate.name}.entered").exists)
    (uploaded,) = set(folder.iterdir()) - before
    assert uploaded.name.endswith("picture.png")
    gate.touch()
    history = await run
    assert "44" in [output.value for output in run.outputs()]
    assert history[run.prompt_id]["prompt"][2]["1"]["inputs"]["image"] == uploaded.name
    assert set(folder.iterdir()) == before
    assert prompt["9"]["inputs"] == {"value": 1}


async def test_run_checks_before_it_uploads(connector: ComfyConnector, tmp_path: Path) -> None:
    """An unknown input, a bad value, a missing file: nothing stays."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(path)
    prompt = picture_prompt()
    with pytest.raises(InputSelectorError, match="NoSuch"):
        await connector.run(prompt, files={"NoSuch.image": path})
    with pytest.raises(InputSelectorError):
        await connector.run(prompt, {"EmptyImage.width": -5}, files={"EmptyImage.width": path})
    with pytest.raises(FileNotFoundError):
        await connector.run({"1": node("LoadImage", image="x.png")}, files={"LoadImage.image": tmp_path / "none"})
    assert not list(Path(connector._parts.engine.folders.input).glob("*-photo.png"))  # type: ignore[union-attr]


class SlowFile(io.BytesIO):
    """A file object whose content comes when ``may_read`` is set."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_read, self.may_read = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.is_read.set()
        self.may_read.wait(60)
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        self.is_read.set()
        self.may_read.wait(60)
        return super().readinto(buffer)


async def test_upload_of_a_cancelled_run_is_taken_back(connector: ComfyConnector) -> None:
    """Its copy is completed in a thread, and deleted then."""
    folder = Path(connector._parts.engine.folders.input)  # type: ignore[union-attr]
    before = set(folder.iterdir())
    slow = SlowFile(b"x")
    task = asyncio.create_task(connector.run({"1": node("LoadImage", image="x")}, files={"LoadImage.image": slow}))
    await until(slow.is_read.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.may_read.set()
    await until(lambda: named_tasks("discomfort-late-upload") == 0)
    assert set(folder.iterdir()) == before


async def test_upload_of_a_cancelled_run_is_broken_off_over_http(connector: ComfyConnector) -> None:
    """Nothing is transferred for a run that nobody wants."""
    slow = SlowFile(b"x")
    async with attached(connector) as other:
        prompt = {"1": node("LoadImage", image="x")}
        task = asyncio.create_task(other.run(prompt, files={"LoadImage.image": slow}))
        await until(slow.is_read.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Before the file gives its content, so that the transfer cannot have ended by itself.
        await until(lambda: named_tasks("discomfort-upload-for-run") == 0)
        slow.may_read.set()


async def test_files_that_cannot_be_uploaded(connector: ComfyConnector, tmp_path: Path) -> None:
    """A typed error with the remedy; a long name is shortened."""
    prompt = {"1": node("LoadImage", image="x.png"), "2": node("PreviewImage", images=["1", 0])}
    with pytest.raises(UploadError, match="convert the picture first"):
        await connector.run(prompt, files={"LoadImage.image": Image.new("CMYK", (4, 4))})
    long = tmp_path / f"{'n' * 240}.png"
    Image.new("RGB", (4, 4)).save(long)
    assert (await connector.run(prompt, files={"LoadImage.image": long})).images


async def test_run_takes_a_workflow_or_a_prompt(connector: ComfyConnector) -> None:
    """Without being told which."""
    result = await connector.run(show_prompt(2), {"ContractShow.value": 3})
    assert [output.value for output in result.outputs] == ["3"]


# --- queue ---------------------------------------------------------------------------------------------------------


async def test_queue_interrupt_and_free(connector: ComfyConnector, raw: aiohttp.ClientSession, gate: Path) -> None:
    """What the server runs and has queued, in order; whatever runs is interrupted, or one prompt by its id."""
    first = await connector.submit(gate_prompt(gate), False)
    others = [await queue_raw(raw, show_prompt(number)) for number in range(3)]
    await until(lambda: first.status.phase == "running")
    queue = await connector.queue()
    assert (queue.running, queue.pending) == ((first.prompt_id,), tuple(others))
    assert len(queue) == 4
    with pytest.raises(PayloadError, match="prompt_id"):
        await connector.interrupt("")
    await connector.interrupt(others[0])
    await connector.interrupt()
    with pytest.raises(ExecutionInterrupted):
        await first
    assert [texts_of(await (await connector.find(other))) for other in others] == [["0"], ["1"], ["2"]]
    await connector.free()
    assert (await connector.queue()).running == ()


async def test_health_report(connector: ComfyConnector) -> None:
    """A dictionary as ever, and whether all is well."""
    report = await connector.health()
    assert report.ok
    assert report.problems == {}
    assert report["HTTP"] == ""
