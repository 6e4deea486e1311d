"""Answers that are not the wanted file, though they look like it, and names that something else has."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from unit.provision.file_host import Answer, Asked, FileHost, body, cut, redirect, status
from unit.provision.provide_site import NAME, PATIENT, StandInServer, model, plan, provide, sha256, target, traces

from discomfort.exceptions import DownloadError, FileConflictError, ProvideError
from discomfort.planning.needs import FileDigest
from discomfort.planning.workflow_plan import WorkflowPlan

CONTENT = os.urandom(300_000)
PAGE = b"\xef\xbb\xbf\n <!DOCTYPE html><title>Sign in</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with FileHost(CONTENT) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> StandInServer:
    return StandInServer(tmp_path)


async def failure(server: StandInServer, needed: WorkflowPlan, **options: Any) -> Exception:
    """The one error of a provision that fails."""
    with pytest.raises(ProvideError) as caught:
        await provide(server, needed, **options)
    (error,) = caught.value.failures
    return error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PAGE, "a web page"), (b"<?xml version='1.0'?><Error>", "a web page"), (POINTER, "a pointer of Git LFS"),
        (b'{"error": "sign in"}', "a JSON text"), (b"", "an empty file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("digest", [None, sha256(CONTENT)])
async def test_a_text_in_place_of_a_model(
    host: FileHost, server: StandInServer, text: bytes, told: str, digest: FileDigest | None
) -> None:
    """A page for people is no model, also where the host does not say that it is one, and no hash is known."""
    host.content = text

    error = await failure(server, plan(model(host.url(), digest=digest)))

    assert type(error) is DownloadError
    assert f"there is {told} at its address" in str(error)
    assert traces(server) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.safetensors", b'{"\0\0\0\0\0\0{"a": 1}'), ("x.json", b"{}"), ("x.safetensors", b"<\0")],
)
async def test_what_may_be_a_model(host: FileHost, server: StandInServer, name: str, content: bytes) -> None:
    """The size before the header of safetensors may look like a letter; files of other endings may be texts."""
    host.content = content

    await provide(server, plan(model(host.url(), name=name)), extensions=[".json"])

    assert (target(server).parent / name).read_bytes() == content


@pytest.mark.parametrize(
    "answer",
    [status("403 No"), status("404 No"), redirect("file:///etc/passwd"), body(b"<p>", Content_Type="text/html")],
)
async def test_a_refusal_leaves_nothing(host: FileHost, server: StandInServer, answer: Answer) -> None:
    """No empty file stays where nothing arrived."""
    host.script.append(answer)

    await failure(server, plan(model(host.url())))

    assert traces(server) == []


def _of_another(size: int) -> Answer:
    """The rest of a file of another size, which has the same version."""

    async def answer(host: FileHost, asked: Asked) -> None:
        more = {"ETag": host.etag, "Content-Range": f"bytes {asked.start}-{size - 1}/{size}"}
        rest = bytes(size - asked.start)
        host.send(asked, "206 Partial Content", {**more, "Content-Length": len(rest)}, rest)

    return answer


async def test_the_rest_of_another_file(host: FileHost, server: StandInServer) -> None:
    """If the size is another one by now, the beginning that is here is not of this file, whatever the host says."""
    host.script.extend([cut(100_000), _of_another(200_000)])

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT
    assert [asked.start for asked in host.asked] == [0, 100_000, 0]


async def test_the_rest_of_another_file_later(host: FileHost, server: StandInServer) -> None:
    """Also where the beginning is from an earlier call."""
    host.script.extend([cut(100_000), status("404 No")])
    await failure(server, plan(model(host.url())))
    host.script.append(_of_another(200_000))

    await provide(server, plan(model(host.url())))

    assert target(server).read_bytes() == CONTENT
    assert [asked.start for asked in host.asked] == [0, 100_000, 100_000, 0]


async def test_a_host_that_never_continues(host: FileHost, server: StandInServer) -> None:
    """Beginnings that are of no use each time are no progress, so it ends."""
    refused = status("416 No", Content_Range="bytes */7")
    host.script.extend([cut(100_000), refused] * 50)

    error = await failure(server, plan(model(host.url())), limits=PATIENT)

    assert isinstance(error, DownloadError)
    assert len(host.asked) < 20


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
async def test_what_has_the_name_is_no_file(host: FileHost, server: StandInServer, kind: str) -> None:
    """A pipe, a folder or a link that leads nowhere is left as it is, and nothing is read or fetched."""
    path = target(server)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")

    error = await failure(server, plan(model(host.url(), digest=sha256(CONTENT))))

    assert isinstance(error, FileConflictError)
    assert "leads nowhere" in str(error) if kind == "link" else "is not a file" in str(error)
    assert traces(server) == [NAME]
    assert host.asked == []
