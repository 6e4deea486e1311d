"""Programs that use a connector under conditions that only a process of its own can have.

Arguments: the scenario, settings as JSON, then what the scenario takes. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.graphs import (
    Prompt,
    Recorder,
    gate_prompt,
    node,
    picture_prompt,
    picture_workflow,
    record_of,
    show_prompt,
    texts_of,
)

from discomfort import ComfyConnector, SyncConnector
from discomfort.exceptions import DiskFullError, SelfTestError

Settings = dict[str, Any]


def tell(**facts: Any) -> None:
    """Print what the test wants to know."""
    print(json.dumps(facts), flush=True)  # noqa: T201


async def number(connector: ComfyConnector, value: int) -> str:
    """Run the smallest prompt."""
    return texts_of(await connector.run_workflow(show_prompt(value), False))[0]


async def convert(settings: Settings) -> None:
    """Convert and run a workflow; tells the arguments that Chromium runs with."""
    async with await ComfyConnector.create(**{**settings, "browser": "eager"}) as connector:
        record = record_of(await connector.run_workflow(picture_workflow()))
        words = [word for process in psutil.Process().children(recursive=True) for word in process.cmdline()]
        switches = sorted({word for word in words if word in ("--no-sandbox", "--disable-dev-shm-usage")})
        tell(completed=record["status"]["completed"], switches=switches)


async def leave_by_exit(settings: Settings, gate: str, code: str) -> None:
    """``sys.exit`` in a task while a run is under way, without any cleaning up."""
    connector = await ComfyConnector.create(**settings)
    uploaded = connector.upload_data(__file__, is_ephemeral=True)
    events = Recorder()
    run = asyncio.ensure_future(connector.run_workflow(gate_prompt(Path(gate)), False, on_progress=events))
    await events.running()
    tell(address=connector.server_address, uploaded=uploaded)
    asyncio.get_running_loop().call_soon(sys.exit, int(code))
    await run


def close_the_loop(settings: Settings, gate: str) -> None:
    """Close the event loop with a run pending; then use a connector in another loop."""
    loop = asyncio.new_event_loop()
    connector = loop.run_until_complete(ComfyConnector.create(**settings))
    events = Recorder()
    run = loop.create_task(connector.run_workflow(gate_prompt(Path(gate)), False, on_progress=events))
    loop.run_until_complete(events.running())
    first = connector._parts.supervisor.pid  # type: ignore[union-attr]
    loop.close()

    async def again() -> None:
        async with await ComfyConnector.create(**settings) as other:
            tell(
                other=other is not connector,
                old_server_gone=not psutil.pid_exists(first),
                text=await number(other, 3),
                state=str(connector.state),
            )

    asyncio.run(again())
    del run


async def fork(settings: Settings) -> None:
    """Fork twice after create: one child ends at once, one runs its exit handlers. Ours goes on."""
    connector = await ComfyConnector.create(**settings)
    uploaded = Path(connector.upload_data(__file__, is_ephemeral=True))
    codes = []
    for tidy in (False, True):
        pid = os.fork()
        if pid == 0:
            if tidy:
                connector._sync_cleanup()
                atexit._run_exitfuncs()
            os._exit(7)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        codes.append(os.waitstatus_to_exitcode(status))
    text = await number(connector, 4)
    kept = uploaded.exists()
    await connector.kill_api()
    tell(codes=codes, text=text, kept=kept, gone=not uploaded.exists())


async def fork_with_everything(settings: Settings, how: str) -> None:
    """Fork a child that ends normally, with private folders and a browser there; ours goes on as if nothing had been.

    The child runs its exit handlers; ``how`` is ``end``, or ``create``: it makes a connector of its own before.
    """
    connector = await ComfyConnector.create(**settings)
    await connector.run_workflow(picture_workflow())
    uploaded = Path(connector.upload_data(__file__, is_ephemeral=True))
    # Asyncio's own pool has threads by now, as in most programs.
    await asyncio.to_thread(int)
    before = possessions(connector)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            answer.write(in_child(settings) if how == "create" else "")
        atexit._run_exitfuncs()
        os._exit(0)
    os.close(writing)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    with os.fdopen(reading) as answer:
        told = answer.read()
    after = possessions(connector)
    text = await number(connector, 4)
    record = record_of(await connector.run_workflow(picture_workflow(5)))
    lost = sorted(set(before) - set(after))
    healthy = await connector._validate_resources()
    kept = uploaded.exists()
    await connector.kill_api()
    tell(
        code=os.waitstatus_to_exitcode(status), child=told, lost=lost, text=text, kept=kept, healthy=healthy,
        completed=record["status"]["completed"], gone=not any(Path(name).exists() for name in before if "/" in name),
    )  # fmt: skip


def fork_without_a_loop(settings: Settings, where: str) -> None:
    """The same in a program without coroutines, as servers with forked workers are: the child leaves by sys.exit.

    ``where`` it does so: ``within`` the ``with`` block, whose end it then comes to, or ``outside`` of one.
    """
    with contextlib.ExitStack() as stack:
        connector = SyncConnector.create(**settings)
        if where == "within":
            stack.enter_context(connector)
        connector.run_workflow(picture_workflow())
        before = possessions(connector.connector)
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        lost = sorted(set(before) - set(possessions(connector.connector)))
        completed = record_of(connector.run_workflow(picture_workflow(5)))["status"]["completed"]
        connector.kill_api()
    tell(code=os.waitstatus_to_exitcode(status), lost=lost, completed=completed)


def possessions(connector: ComfyConnector) -> list[str]:
    """Files and folders in the connector's private folders, and the processes below this one."""
    parts = connector._parts
    assert parts.engine is not None
    assert parts.browser_directory is not None
    folders = [*parts.engine.private, parts.browser_directory]
    assert all(folder.is_dir() for folder in folders), folders
    names = [str(folder) for folder in folders]
    names += [str(path) for path in (parts.engine.folders.input, parts.engine.folders.output) if path.is_dir()]
    names += [str(path) for path in parts.engine.folders.output.rglob("*")]
    processes = psutil.Process().children(recursive=True)
    # Renderers come and go.
    return names + [f"{p.pid} {p.name()}" for p in processes if "--type=renderer" not in p.cmdline()]


def in_child(settings: Settings) -> str:
    """What a whole life of a connector in a forked child comes to."""

    async def life() -> str:
        async with await ComfyConnector.create(**settings) as own:
            record = record_of(await own.run_workflow(picture_workflow(9)))
            return str(record["status"]["completed"])

    # The loop that runs is the parent's.
    asyncio.events._set_running_loop(None)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(life())
    except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
        return repr(error)
    finally:
        loop.close()


async def leave_with_a_child(settings: Settings) -> None:
    """Fork, and be killed while the child lives on."""
    connector = await ComfyConnector.create(**settings)
    pid = os.fork()
    if pid == 0:
        # The pipe to the test must not stay open.
        os.closerange(0, 3)
        while True:
            signal.pause()
    tell(address=connector.server_address, child=pid)
    os.kill(os.getpid(), signal.SIGKILL)


async def fill_the_disk(settings: Settings, folder: str) -> None:
    """The server's folders lie on a small disk, which an upload fills; then space comes back."""
    async with await ComfyConnector.create(**settings) as connector:
        large, small = Path(folder, "large.bin"), Path(folder, "small.bin")
        large.write_bytes(bytes(64 << 20))
        small.write_bytes(b"small")
        faults, told = [], []
        for ephemeral in (False, True):
            try:
                connector.upload_data(large, is_ephemeral=ephemeral)
            except DiskFullError as error:
                faults.append(errno.errorcode[error.errno or 0])
                told.append(error.folder)
        try:
            await connector.upload(large.read_bytes(), name="large.bin")
        except DiskFullError as error:
            told.append(error.folder)
        place = Path(connector._parts.files.put(small, "input", None, True, False))  # type: ignore[union-attr]
        left = sorted(entry.name for entry in place.parent.iterdir() if entry.is_file())
        ballast = place.parent / "ballast"
        try:
            with ballast.open("wb", buffering=0) as stream:
                while stream.write(bytes(4096)):
                    pass
        except OSError as error:
            faults.append(errno.errorcode[error.errno or 0])
        (end,) = await asyncio.gather(
            connector.run_workflow(picture_prompt(prefix="full", size=256), False), return_exceptions=True
        )
        ballast.unlink()
        after = record_of(await connector.run_workflow(picture_prompt(1, prefix="space", size=256), False))
        tell(faults=faults, told=told, left=left, end=type(end).__name__, after=after["status"]["completed"])


async def save_to_a_full_disk(settings: Settings, folder: str) -> None:
    """Outputs are saved to a small disk that is full, and again when there is space."""
    async with await ComfyConnector.create(**settings) as connector:
        history = await connector.run_workflow(picture_prompt(size=64), False)
        (output,) = connector.outputs(history)
        ballast = fill(Path(folder))
        try:
            await output.save(folder, "picture.png")
        except DiskFullError as error:
            told = [error.folder, error.filename, str(error)]
        left = [entry.name for entry in Path(folder).iterdir()]
        ballast.unlink()
        tell(told=told, left=left, after=(await output.save(folder, "picture.png")).name)


async def start_with_a_full_temporary_folder(settings: Settings, folder: str) -> None:
    """The temporary folder is a small disk that a node of the self-test finds full."""
    small = {**settings, "test_payload_file": str(Path(folder, "self_test.json"))}
    Path(folder, "self_test.json").write_text(json.dumps(preview_prompt(64)))
    try:
        await ComfyConnector.create(**small)
    except SelfTestError as error:
        tell(told=str(error), cause=type(error.__cause__).__name__)


def preview_prompt(count: int) -> Prompt:
    """So many pictures that are previewed: too much for a small disk."""
    return {
        "1": node("EmptyImage", width=512, height=512, batch_size=count, color=0x123456),
        "2": node("PreviewImage", images=["1", 0]),
    }


def fill(folder: Path) -> Path:
    """Leave nothing free on the disk of a folder. Returns the file that takes the space."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    return ballast


async def use_up_descriptors(settings: Settings) -> None:
    """No descriptor is left for a while: calls fail with their own errors, and work again afterwards."""
    connector = await ComfyConnector.create(**settings)
    await number(connector, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    hoard = []
    try:
        while True:
            hoard.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    async with asyncio.timeout(60):
        ends = await asyncio.gather(
            *(number(connector, n) for n in range(8)),
            connector.run_workflow("/no/descriptor/for.json"),
            connector._restart_browser(),
            return_exceptions=True,
        )
    try:
        connector.upload_data(__file__, overwrite=True)
        uploaded = "uploaded"
    except OSError as error:
        uploaded = type(error).__name__
    for descriptor in hoard:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kinds = sorted({"result" if isinstance(end, str | None) else type(end).__module__.split(".")[0] for end in ends})
    names = [end if isinstance(end, str) else type(end).__name__ for end in ends]
    after = await number(connector, 2)
    await connector.kill_api()
    tell(kinds=kinds, names=names, uploaded=uploaded, after=after)


async def start_without_descriptors(settings: Settings) -> None:
    """Too few descriptors to start: the error is the library's own, and a later start works."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = []
    for spare in (1, 3, 6, 10, 15):
        free = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, hard))
        try:
            connector = await ComfyConnector.create(**settings)
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            names.append(type(error).__module__ + "." + type(error).__name__)
        else:
            names.append("started")
            await connector.kill_api()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    async with await ComfyConnector.create(**settings) as connector:
        tell(names=names, after=await number(connector, 5), left=ComfyConnector.current() is None)


async def find_folders_read_only(settings: Settings, home: str, state: str) -> None:
    """Folders that may not be written to: each call fails with the system's error, and the rest works.

    The journal is open by then, and goes on.
    """
    async with await ComfyConnector.create(**settings) as connector:
        faults = {}
        for name, folder, ephemeral in (("input", Path(home, "input"), False), ("journal", Path(state), True)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o500)
            try:
                connector.upload_data(__file__, is_ephemeral=ephemeral)
                faults[name] = "uploaded"
            except OSError as error:
                faults[name] = type(error).__name__
            finally:
                folder.chmod(0o700)
        output = Path(home, "output")
        output.mkdir(exist_ok=True)
        output.chmod(0o500)
        (end,) = await asyncio.gather(
            connector.run_workflow(picture_prompt(2, prefix="denied/x"), False), return_exceptions=True
        )
        output.chmod(0o700)
        tell(faults=faults, end=type(end).__name__, after=await number(connector, 6))


async def start_where_nothing_can_be_written(settings: Settings) -> None:
    """The folder for temporary files is read-only: the start fails with one of our errors, or works without it."""
    try:
        async with await ComfyConnector.create(**settings) as connector:
            tell(end=await number(connector, 7))
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        tell(end=type(error).__module__)


async def work_beside_another(settings: Settings, name: str, count: str) -> None:
    """Tells its port; when its input ends, uploads and runs beside other processes that do the same in its folder."""
    async with await ComfyConnector.create(**settings) as connector:
        tell(port=connector.server_address)
        await asyncio.to_thread(sys.stdin.read)
        own = Path(settings["emulator_directory"]).parent / f"{name}.txt"
        own.write_text(name)
        uploaded = Path(connector.upload_data(own, is_ephemeral=True))
        texts = await asyncio.gather(*(number(connector, n) for n in range(int(count))))
        await connector.run_workflow(picture_prompt(3, prefix=name), False)
        tell(texts=len(set(texts)), upload=uploaded.read_text())


SCENARIOS: dict[str, Callable[..., Awaitable[None]]] = {
    function.__name__: function
    for function in (
        convert,
        leave_by_exit,
        fork,
        fork_with_everything,
        leave_with_a_child,
        fill_the_disk,
        save_to_a_full_disk,
        start_with_a_full_temporary_folder,
        use_up_descriptors,
        start_without_descriptors,
        find_folders_read_only,
        start_where_nothing_can_be_written,
        work_beside_another,
    )
}


def main() -> None:
    """Run the scenario."""
    name, settings, *rest = sys.argv[1:]
    plain: dict[str, Callable[..., None]] = {
        "close_the_loop": close_the_loop,
        "fork_without_a_loop": fork_without_a_loop,
    }
    if name in plain:
        plain[name](json.loads(settings), *rest)
    else:
        coroutine: Any = SCENARIOS[name](json.loads(settings), *rest)
        asyncio.run(coroutine)


if __name__ == "__main__":
    main()
