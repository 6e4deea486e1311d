"""Downloads from hosts with every fault: each ends in the right file, or in a typed error and no file."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from small_memory import small_memory
from unit.provision.file_host import Answer, FileHost, body, cut, redirect, silent, status
from unit.provision.provide_site import HASTY, NAME, StandInServer, model, plan, provide, sha256, target, traces
from waiting import until

from discomfort.exceptions import (
    DamagedDownloadError,
    DiskFullError,
    DownloadError,
    DownloadRefusedError,
    DownloadStalledError,
    FileConflictError,
    ProvideError,
)
from discomfort.planning.needs import FileDigest
from discomfort.provision.partial_file import lock_path, part_path
from discomfort.provision.provide_progress import ProvideProgress

CONTENT = os.urandom(300_000)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with FileHost(CONTENT) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> StandInServer:
    return StandInServer(tmp_path)


async def failure(server: StandInServer, *args: object, **options: object) -> ProvideError:
    """The one error of a provision that fails."""
    with pytest.raises(ProvideError) as caught:
        await provide(server, *args, **options)  # type: ignore[arg-type]
    (error,) = caught.value.failures
    assert isinstance(error, ProvideError | DiskFullError)
    assert caught.value.report.missing[0].error is error
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return error  # type: ignore[return-value]


async def test_a_file_arrives_whole(host: FileHost, server: StandInServer) -> None:
    """The bytes are those of the host, under the name of the plan, and nothing else is left."""
    seen: list[ProvideProgress] = []

    report = await provide(server, plan(model(host.url(), digest=sha256(CONTENT), size=len(CONTENT))), seen=seen)

    assert target(server).read_bytes() == CONTENT
    assert traces(server) == [NAME]
    assert report.is_complete
    assert [(item.outcome, item.size, item.path) for item in report.items] == [
        ("fetched", len(CONTENT), target(server))
    ]
    assert (seen[-1].stage, seen[-1].received, seen[-1].total) == ("done", len(CONTENT), len(CONTENT))
    assert server.forgotten == 1


async def test_a_second_time_nothing_is_done(host: FileHost, server: StandInServer) -> None:
    """A file that is there is compared and not fetched, and its name is not in two places."""
    needed = plan(model(host.url(), digest=sha256(CONTENT)))
    await provide(server, needed)

    report = await provide(server, needed)

    assert [item.outcome for item in report.items] == ["present"]
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([cut(100_000)], id="cut in the middle"),
        pytest.param([cut(100_000), cut(0), cut(100_000), cut(0), cut(1)], id="cut again and again"),
        pytest.param([status("503 Busy"), cut(5), status("429 Many", Retry_After=0)], id="busy"),
        pytest.param([status("502 Bad Gateway"), status("408 Timeout")], id="a proxy that fails"),
        pytest.param([cut(1000), body(CONTENT, Content_Length=len(CONTENT))], id="ranges are ignored"),
        pytest.param([cut(1000), status("416 No", Content_Range="bytes */7")], id="a refused range"),
    ],
)
async def test_faults_that_pass(host: FileHost, server: StandInServer, answers: list[Answer]) -> None:
    """After a fault that passes, the rest is fetched, and the file is right."""
    host.script.extend(answers)

    report = await provide(server, plan(model(host.url(), digest=sha256(CONTENT))))

    assert target(server).read_bytes() == CONTENT
    assert [item.outcome for item in report.items] == ["fetched"]
    assert traces(server) == [NAME]


async def test_only_the_rest_is_asked_for(host: FileHost, server: StandInServer) -> None:
    """The second request has the place where the first one ended, and the version that it must be of."""
    host.script.append(cut(100_000))

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT
    assert [asked.start for asked in host.asked] == [0, 100_000]
    assert host.asked[1].headers["if-range"] == '"v1"'


async def test_a_file_that_changed_meanwhile(host: FileHost, server: StandInServer) -> None:
    """If the host has another version by now, no beginning of the old one is in the file."""
    host.script.append(cut(100_000))
    new = os.urandom(200_000)

    async def change(host: FileHost, asked: object) -> None:
        host.content, host.etag = new, '"v2"'
        host.send(asked, "200 OK", {"ETag": host.etag, "Content-Length": len(new)}, new)  # type: ignore[arg-type]

    host.script.append(change)

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == new


@pytest.mark.parametrize("answers", [[cut(1000)] * 3, [status("503 Busy")] * 3, [cut(0)] * 3])
async def test_faults_that_stay(host: FileHost, server: StandInServer, answers: list[Answer]) -> None:
    """A host that never gets further is given up with the reason; what arrived stays."""
    host.script.extend([answers[0], *[cut(0)] * 9] if answers[0].__qualname__.startswith("cut") else answers)

    error = await failure(server, plan(model(host.url())), limits=HASTY)

    assert isinstance(error, DownloadError)
    assert not target(server).exists()
    assert not lock_path(target(server)).exists()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (status("401 Unauthorized"), DownloadRefusedError, "set DOWNLOAD_TOKEN_127_0_0_1"),
        (status("403 Forbidden"), DownloadRefusedError, "accept the licence"),
        (status("404 Not Found"), DownloadError, "nothing at its address"),
        (status("418 Teapot"), DownloadError, "418"),
        (status("429 Many", Retry_After=99999), DownloadError, "wait 99999 s"),
        (status("503 Busy", Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), DownloadError, "has to wait"),
        (body(b"<html>", Content_Type="text/html; charset=utf-8", Content_Length=6), DownloadError, "web page"),
        (body(CONTENT, Content_Encoding="gzip", Content_Length=len(CONTENT)), DownloadError, "compresses"),
        (body(CONTENT), DownloadError, "tells its size"),
        (redirect("file:///etc/passwd"), DownloadError, "not fetched"),
        (redirect("ftp://example.org/x"), DownloadError, "not fetched"),
        (redirect(""), DownloadError, "not fetched"),
        (redirect("/model.safetensors?secret=hidden"), DownloadError, "do not end"),
    ],
)
async def test_answers_that_end_it(
    host: FileHost, server: StandInServer, answer: Answer, kind: type[ProvideError], text: str
) -> None:
    """Each of these ends at once in its error, which names file and address, and leaves no file."""
    host.script.append(answer)

    error = await failure(server, plan(model(host.url("/model.safetensors?secret=hidden"))))

    assert type(error) is kind
    assert text in str(error)
    assert NAME in str(error)
    assert "hidden" not in str(error)
    assert not target(server).exists()
    assert len(host.asked) <= 2


async def test_redirects_in_a_circle(host: FileHost, server: StandInServer) -> None:
    """Redirects that never end are given up."""
    host.script.extend([redirect("/b"), redirect("/a")] * 20)

    error = await failure(server, plan(model(host.url("/a"))))

    assert "do not end" in str(error)
    assert len(host.asked) <= 10


async def test_wrong_hash(host: FileHost, server: StandInServer) -> None:
    """A whole file with another hash is an error at once, and none of it stays."""
    error = await failure(server, plan(model(host.url(), digest=sha256(b"another"))))

    assert isinstance(error, DamagedDownloadError)
    assert "sha256" in str(error)
    assert traces(server) == []
    assert len(host.asked) == 1


async def test_wrong_beginning(host: FileHost, server: StandInServer) -> None:
    """If what an earlier run left does not fit the rest, the whole file is fetched once more."""
    host.etag = ""
    host.script.append(body(b"x" * 1000, Content_Length=len(CONTENT)))

    await provide(server, plan(model(host.url(), digest=sha256(CONTENT))))

    assert target(server).read_bytes() == CONTENT
    assert [asked.start for asked in host.asked] == [0, 1000, 0]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5", "blake3", "crc32"])
async def test_each_hash(host: FileHost, server: StandInServer, algorithm: str) -> None:
    """Each kind of hash that lists of models have is checked, in big digits too."""
    from discomfort.provision.file_digests import begin_digest

    digest = FileDigest(algorithm, "")  # type: ignore[arg-type]
    made = begin_digest(digest)
    made.update(CONTENT)
    host.script.append(cut(1000))

    await provide(server, plan(model(host.url(), digest=FileDigest(digest.algorithm, made.hexdigest().upper()))))

    assert target(server).read_bytes() == CONTENT


async def test_wrong_size(host: FileHost, server: StandInServer) -> None:
    """A host that offers another size than the plan has is refused before its bytes are taken."""
    error = await failure(server, plan(model(host.url(), size=7)))

    assert isinstance(error, DamagedDownloadError)
    assert "300,000" in str(error)
    assert traces(server) == []


async def test_more_bytes_than_the_plan_has(host: FileHost, server: StandInServer) -> None:
    """A body without a length is cut off at the size of the plan."""
    host.script.append(body(CONTENT))

    error = await failure(server, plan(model(host.url(), size=1000)))

    assert isinstance(error, DamagedDownloadError)
    assert traces(server) == []


async def test_chunks(host: FileHost, server: StandInServer) -> None:
    """A body in chunks has an end, so it needs no length."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (CONTENT[:9], CONTENT[9:]))
    host.script.append(body(chunks + b"0\r\n\r\n", Transfer_Encoding="chunked"))

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT


async def test_chunks_that_end_too_early(host: FileHost, server: StandInServer) -> None:
    """A cut is noticed in chunks too, and the rest is fetched."""
    host.script.append(body(b"%x\r\n%s" % (len(CONTENT), CONTENT[:500]), Transfer_Encoding="chunked", ETag='"v1"'))

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT


async def test_a_silent_host(host: FileHost, server: StandInServer) -> None:
    """A host that sends nothing more is given up; the next call goes on where it stopped."""
    gate = asyncio.Event()
    host.script.extend([silent(2000, gate), silent(0, gate)])

    error = await failure(server, plan(model(host.url())), limits=HASTY)
    gate.set()

    assert isinstance(error, DownloadStalledError)
    assert part_path(target(server)).stat().st_size == 2000
    await provide(server, plan(model(host.url())))
    assert target(server).read_bytes() == CONTENT
    assert host.asked[-1].start == 2000


async def test_the_time_is_over(host: FileHost, server: StandInServer) -> None:
    """``timeout`` ends a download that goes on, as a typed error; what arrived stays."""
    gate = asyncio.Event()
    host.script.append(silent(2000, gate))

    error = await failure(server, plan(model(host.url())), timeout=0.5)
    gate.set()

    assert isinstance(error, DownloadStalledError)
    assert traces(server) == [f".{NAME}.part", f".{NAME}.part.json"]
    assert part_path(target(server)).read_bytes() == CONTENT[:2000]


async def test_a_cancelled_download_goes_on_later(host: FileHost, server: StandInServer) -> None:
    """Cancellation frees the lock and keeps what arrived."""
    gate = asyncio.Event()
    host.script.append(silent(2000, gate))
    task = asyncio.create_task(provide(server, plan(model(host.url()))))
    await until(lambda: host.asked)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()

    assert not lock_path(target(server)).exists()
    await provide(server, plan(model(host.url())))
    assert target(server).read_bytes() == CONTENT


PROGRAM = """
import asyncio, sys
from pathlib import Path
from unit.provision.provide_site import StandInServer, model, plan, provide
asyncio.run(provide(StandInServer(Path(sys.argv[1])), plan(model(sys.argv[2]))))
"""


FILLING = """
import asyncio, sys
from pathlib import Path
from discomfort.exceptions import DiskFullError, ProvideError
from unit.provision.provide_site import StandInServer, model, plan, provide
server = StandInServer(Path("/dev/shm"))
try:
    asyncio.run(provide(server, plan(model(sys.argv[1]))))
except ProvideError as error:
    print(type(error.failures[0]).__name__, sorted(path.name for path in server.models.rglob("*.*")))
"""


def _environ() -> dict[str, str]:
    tests = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}


async def _program(server: StandInServer, url: str) -> asyncio.subprocess.Process:
    words = [sys.executable, "-c", PROGRAM, str(server.models.parent), url]
    return await asyncio.create_subprocess_exec(*words, env=_environ())


async def test_a_killed_process_goes_on_later(host: FileHost, server: StandInServer) -> None:
    """After SIGKILL in the middle, the next process asks for the rest only."""
    gate = asyncio.Event()
    host.script.append(silent(200_000, gate))
    program = await _program(server, host.url())
    await until(lambda: host.asked)
    # What has arrived is written when there is much of it, or when the connection ends.
    host.script.append(silent(0, asyncio.Event()))
    gate.set()
    await until(lambda: len(host.asked) == 2)
    assert part_path(target(server)).stat().st_size == 200_000

    program.send_signal(signal.SIGKILL)
    await program.wait()
    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT
    assert host.asked[-1].start == 200_000
    assert traces(server) == [NAME]


async def test_two_processes_at_once(host: FileHost, server: StandInServer) -> None:
    """Two processes that want one file fetch it once, and both find it."""
    gate = asyncio.Event()

    async def later(host: FileHost, asked: object) -> None:
        await gate.wait()
        host.send(asked, "200 OK", {"ETag": '"v1"', "Content-Length": len(CONTENT)}, CONTENT)  # type: ignore[arg-type]

    host.script.append(later)
    program = await _program(server, host.url())
    await until(lambda: host.asked)
    seen: list[ProvideProgress] = []
    second = asyncio.create_task(provide(server, plan(model(host.url())), seen=seen))
    await until(lambda: any(event.stage == "waiting" for event in seen))

    gate.set()
    report = await second

    assert await program.wait() == 0
    assert [item.outcome for item in report.items] == ["present"]
    assert target(server).read_bytes() == CONTENT
    assert len(host.asked) == 1
    assert traces(server) == [NAME]


async def test_another_file_has_the_name(host: FileHost, server: StandInServer) -> None:
    """A file of other content is never replaced, and nothing is fetched."""
    target(server).write_bytes(b"mine")

    error = await failure(server, plan(model(host.url(), digest=sha256(CONTENT))))

    assert isinstance(error, FileConflictError)
    assert isinstance(error, FileExistsError)
    assert target(server).read_bytes() == b"mine"
    assert host.asked == []


async def test_another_program_takes_the_name(host: FileHost, server: StandInServer) -> None:
    """A file that appears while ours arrives is not replaced either."""

    async def put(host: FileHost, asked: object) -> None:
        target(server).write_bytes(b"mine")
        host.send(asked, "200 OK", {"Content-Length": len(CONTENT)}, CONTENT)  # type: ignore[arg-type]

    host.script.append(put)

    error = await failure(server, plan(model(host.url(), digest=sha256(CONTENT))))

    assert isinstance(error, FileConflictError)
    assert target(server).read_bytes() == b"mine"


async def test_too_little_room(host: FileHost, server: StandInServer) -> None:
    """The room on the disk is checked before a byte is taken, and the reserve counts."""
    error = await failure(server, plan(model(host.url())), reserve=1 << 60)

    assert isinstance(error, DiskFullError)
    assert "stay free" in str(error)
    assert not target(server).exists()


async def test_a_disk_that_becomes_full(host: FileHost) -> None:
    """If nothing told the size, a full disk is found in the middle: a typed error, and the room is given back."""
    content = bytes(3_000_000)
    host.script.append(body(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content), Transfer_Encoding="chunked"))
    words = [*small_memory("1m"), sys.executable, "-c", FILLING, host.url()]

    program = await asyncio.create_subprocess_exec(*words, env=_environ(), stdout=asyncio.subprocess.PIPE)
    said, _ = await program.communicate()

    assert said.decode().strip() == "DiskFullError []"


async def test_one_that_fails_does_not_stop_the_others(host: FileHost, server: StandInServer) -> None:
    """All that can be fetched is fetched, and the error says what was not."""
    good = [model(host.url(f"/{number}"), name=f"sub/{number}.safetensors") for number in range(6)]
    bad = model(host.url("/bad"), name="bad.safetensors", digest=sha256(b""))

    error = await failure(server, plan(*good[:3], bad, *good[3:]), parallel=2)

    assert isinstance(error, DamagedDownloadError)
    for need in good:
        assert (target(server).parent / need.name).read_bytes() == CONTENT


async def test_no_place_for_the_file(host: FileHost, server: StandInServer) -> None:
    """A folder that cannot be made is an error that names it."""
    (server.models / "unet").write_bytes(b"a file")
    (server.models / "diffusion_models").write_bytes(b"a file")

    error = await failure(server, plan(model(host.url(), folder="diffusion_models")))

    assert isinstance(error, DownloadError)
    assert "diffusion_models" in str(error)
