"""Traps that take more than one prompt: sockets, files, pictures, a second process."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from PIL import Image

from benchmarks.parity.bodies import node
from benchmarks.parity.samples import saved
from benchmarks.versions.trap_prompts import EMPTY, GOOD
from benchmarks.versions.trial import Trial

Scene = Callable[[Trial], str]
QUIET_SECONDS = 5.0
"""How long a socket that hears nothing is listened to."""
SECOND_START_SECONDS = 120.0
TINY_RUNS = range(50, 1000)
"""At least so many, and more until one has no record yet at its success: one of about fifteen on a free machine."""


def equal_numbers_and_ids(trial: Trial) -> str:
    """Three prompts of one number and one id wait behind another."""
    gate = Path(str(trial.server.folder)) / "gate"
    held = trial.post({"prompt": {"1": node("TrapWait", path=str(gate))}})[1]
    same = {"prompt_id": str(uuid.uuid4()), "number": 1e6}
    # They differ: the queue is a heap, which compares what comes after number and id, at the latest when it takes one.
    bodies = [same | {"prompt": {"1": node("TrapAny", value=value)}} for value in (1, 2, 3)]
    answers = [str(trial.post(body)[0] or "no answer") for body in bodies]
    gate.touch()
    trial.end(held)
    return "; ".join(dict.fromkeys([", ".join(answers), trial.end(str(same["prompt_id"])), trial.state()]))


def one_id_twice(trial: Trial) -> str:
    """The second prompt has the id of one that has ended."""
    same = str(uuid.uuid4())
    return " / ".join(trial.run({"1": node("TrapAny", value=value)}, prompt_id=same) for value in (1, 2))


def no_json_for_a_listener(trial: Trial) -> str:
    """The client of a run whose outputs are no JSON is connected."""

    async def go(address: str) -> str:
        async with aiohttp.ClientSession(address) as session, session.ws_connect("/ws?clientId=me"):
            prompt = {"prompt": {"1": node("TrapHarm", kind="no_json")}, "client_id": "me"}
            return await asyncio.to_thread(lambda: trial.after(*trial.post(prompt)))

    return asyncio.run(go(trial.server.url))


async def hears(socket_of_client: Any, kind: str) -> bool:
    """Whether a message of that kind comes."""
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            async for message in socket_of_client:
                if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == kind:
                    return True
    except TimeoutError:
        pass
    return False


def second_socket_of_one_client(trial: Trial) -> str:
    """The first of two sockets of one client is closed; then that client's prompt runs."""

    async def go(address: str) -> str:
        async with aiohttp.ClientSession(address) as session:
            first = await session.ws_connect("/ws?clientId=me")
            second = await session.ws_connect("/ws?clientId=me")
            await first.close()
            # The server has noticed the end of the first when it has answered a request after it.
            await asyncio.to_thread(trial.state)
            await asyncio.to_thread(trial.post, {"prompt": GOOD, "client_id": "me"})
            return "the second hears its run" if await hears(second, "executing") else "the second hears nothing"

    return asyncio.run(go(trial.server.url))


def a_client_that_stops_reading(trial: Trial) -> str:
    """24 MB are sent to all; one client reads nothing."""
    address = urlsplit(trial.server.url)
    deaf = socket.create_connection((address.hostname, address.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"GET /ws?clientId=deaf HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    deaf.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cGFyaXR5IG9mIGJvdGggcw==\r\n\r\n".encode())
    deaf.recv(200)

    async def go() -> str:
        async with (
            aiohttp.ClientSession(trial.server.url) as session,
            session.ws_connect("/ws?clientId=me", max_msg_size=0) as listening,
        ):
            flood = {"prompt": {"1": node("TrapHarm", kind="flood")}, "client_id": "me"}
            await asyncio.to_thread(trial.post, flood)
            heard = await hears(listening, "execution_success")
            return f"another client {'hears all' if heard else 'waits for it'}; {await asyncio.to_thread(trial.state)}"

    try:
        return asyncio.run(go())
    finally:
        deaf.close()


def is_changed_in_a_prompt(trial: Trial) -> str:
    """A file changes between two equal prompts that bring ``is_changed`` along."""
    graph = {"1": node("LoadImage", image="file.png") | {"is_changed": ["token"]},
             "2": node("PreviewImage", images=["1", 0])}  # fmt: skip
    for level in (10, 200):
        trial.server.upload("file.png", saved(Image.new("RGB", (32, 32), (level, level, level)), "file.png"))
        record = trial.server.run(graph)
    cached = dict(record["status"]["messages"])["execution_cached"]["nodes"]
    return "it is trusted: the old file's picture" if "1" in cached else "the new file is read"


def second_start(trial: Trial) -> str:
    """A second process with the same folders and port."""
    process, folder = trial.server.process, Path(str(trial.server.folder))
    if process is None:
        return "not tried"
    mark = folder / "temp" / "mark"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    done = subprocess.run(
        list(process.args),  # type: ignore[arg-type]
        cwd=Path(f"/proc/{process.pid}/cwd").readlink(),
        capture_output=True,
        timeout=SECOND_START_SECONDS,
        check=False,
    )
    kept = "keeps" if mark.exists() else "deletes"
    return f"it ends with {done.returncode} and {kept} the first one's temporary files; {trial.state()}"


def saved_level(trial: Trial) -> str:
    """The inverse of level 65 is saved: 190 where it is rounded."""
    graph = {"1": node("EmptyImage", **EMPTY | {"color": 0x414141}), "2": node("ImageInvert", image=["1", 0]),
             "3": node("SaveImage", images=["2", 0], filename_prefix="level")}  # fmt: skip
    return f"saved as {trial.server.outputs(trial.server.run(graph))[0].flat[0]}"


def not_a_number(trial: Trial) -> str:
    """A node gives NaN to its clients."""
    told = trial.post({"prompt": {"1": node("TrapHarm", kind="nan")}})[1]
    end = trial.end(told)
    return f"{end}; the history {'has bare NaN' if b'NaN' in trial.send(f'/history/{told}')[1] else 'has no NaN'}"


def pictures_outside(trial: Trial) -> str:
    """A picture outside the input folder is loaded, by a relative and by an absolute path."""
    outside = Path(str(trial.server.folder)) / "outside.png"
    outside.write_bytes(saved(Image.new("RGB", (32, 32)), "outside.png"))
    found = []
    for name in ("../outside.png", str(outside)):
        graph = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
        found.append(f"{name.split('/')[0] or 'absolute'}: {trial.run(graph)}")
    return ", ".join(found)


def poisoned_jobs(trial: Trial) -> str:
    """A prompt with ``extra_pnginfo: null``, then the list of jobs."""
    end = trial.run(GOOD, extra_data={"extra_pnginfo": None})
    return f"{end}; GET /api/jobs: {trial.send('/api/jobs')[0]}"


def grey_picture(trial: Trial) -> str:
    """All levels of grey are loaded and saved again, then a picture of less than 16 pixels."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    words = []
    for side in (16, 8):
        trial.server.upload("grey.png", saved(Image.fromarray(levels[:side, :side]), "grey.png"))
        save = node("SaveImage", images=["1", 0], filename_prefix=f"grey{side}")
        record = trial.server.run({"1": node("LoadImage", image="grey.png"), "2": save})
        outputs = trial.server.outputs(record) if "status" in record else []
        changed = int((outputs[0][0][..., 0] != levels[:side, :side]).sum()) if outputs else 0
        told = f"{changed} of {side * side} levels change" if outputs else "it fails"
        words.append(f"{side} by {side}: {told}")
    return ", ".join(words)


def history_at_success(trial: Trial) -> str:
    """Many tiny runs; the history is asked for as soon as each is said to be a success, then when its end is told."""

    async def go(address: str) -> str:
        missing = {"at execution_success": 0, "at the end": 0}
        async with aiohttp.ClientSession(address) as session, session.ws_connect("/ws?clientId=me") as listening:
            for number in range(TINY_RUNS.stop):
                if number >= TINY_RUNS.start and missing["at execution_success"]:
                    break
                told = (await asyncio.to_thread(
                    trial.post, {"prompt": {"1": node("TrapAny", value=number)}, "client_id": "me"}
                ))[1]  # fmt: skip
                for moment, kind in (("at execution_success", "execution_success"), ("at the end", "executing")):
                    await until_last(listening, kind)
                    async with session.get(f"/history/{told}") as answer:
                        missing[moment] += not await answer.json()
        return ", ".join(f"{moment} {'not always' if count else 'always'} there" for moment, count in missing.items())

    return asyncio.run(go(trial.server.url))


async def until_last(socket_of_client: Any, kind: str) -> None:
    """Read on to a message of that kind which says that a run is over: it names no node."""
    async with asyncio.timeout(SECOND_START_SECONDS):
        async for message in socket_of_client:
            if message.type is aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                if told["type"] == kind and told["data"].get("node") is None:
                    return


def cross_site(trial: Trial) -> str:
    """A request with the header of a page from elsewhere."""
    return str(trial.send("/prompt", **{"Sec-Fetch-Site": "cross-site"})[0])


SCENES: dict[str, Scene] = {
    "prompts of equal number and id": equal_numbers_and_ids,
    "an id that was used before": one_id_twice,
    "UI values without JSON, the client connected": no_json_for_a_listener,
    "second socket of one client, the first closes": second_socket_of_one_client,
    "one client that stops reading": a_client_that_stops_reading,
    "history of a run that has ended": history_at_success,
    "is_changed in a prompt": is_changed_in_a_prompt,
    "second start in the same folders": second_start,
    "levels on saving: the inverse of 65": saved_level,
    "NaN in the history": not_a_number,
    "LoadImage outside the input folder": pictures_outside,
    "extra_pnginfo is null": poisoned_jobs,
    "grey pictures": grey_picture,
    "Sec-Fetch-Site: cross-site": cross_site,
}
