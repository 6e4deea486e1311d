"""Each way of copying gives the same file, and a full disk is never mistaken for a missing way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from discomfort._system import file_copy


@pytest.mark.parametrize(
    "missing",
    [(), ("_reflink",), ("_reflink", "_in_kernel_range"), ("_reflink", "_in_kernel_range", "_in_kernel_send")],
)
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_every_way_of_copying_copies_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], size: int
) -> None:
    """Shared blocks, two calls into the kernel and plain reading give the same file."""
    for name in missing:
        monkeypatch.setattr(file_copy, name, lambda *_: False)
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("xb") as target:
        file_copy.copy_contents(source.fileno(), target.fileno())

    assert (tmp_path / "b").read_bytes() == content


def test_files_that_pretend_to_be_empty_are_copied(tmp_path: Path) -> None:
    """Those of /proc say that they have no bytes."""
    with Path("/proc/self/cmdline").open("rb") as source, (tmp_path / "b").open("xb") as target:
        file_copy.copy_contents(source.fileno(), target.fileno())

    assert (tmp_path / "b").read_bytes() == Path("/proc/self/cmdline").read_bytes() != b""


@pytest.mark.parametrize("call", ["ioctl", "copy_file_range", "sendfile"])
def test_only_impossible_ways_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """ "Not here" leads to the next way, a full disk to the caller."""
    order = ["ioctl", "copy_file_range", "sendfile"]
    number = errno.EOPNOTSUPP

    def fail(*_: object) -> None:
        raise OSError(number, "failed")

    for name in order[: order.index(call) + 1]:
        monkeypatch.setattr(file_copy.fcntl if name == "ioctl" else os, name, fail)
    (tmp_path / "a").write_bytes(b"abc")

    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("xb") as target:
        file_copy.copy_contents(source.fileno(), target.fileno())
    assert (tmp_path / "b").read_bytes() == b"abc"

    for name in order[: order.index(call)]:
        monkeypatch.setattr(file_copy.fcntl if name == "ioctl" else os, name, _not_here)
    number = errno.ENOSPC
    with (
        (tmp_path / "a").open("rb") as source,
        (tmp_path / "c").open("xb") as target,
        pytest.raises(OSError, match="failed"),
    ):
        file_copy.copy_contents(source.fileno(), target.fileno())


def _not_here(*_: object) -> None:
    raise OSError(errno.ENOSYS, "not here")


@pytest.mark.parametrize("call", ["copy_file_range", "sendfile"])
def test_a_way_that_ends_halfway_is_gone_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What the kernel has copied before it gave up is neither copied twice nor left out."""
    real, calls = getattr(os, call), iter((1000, 500))

    def breaks_off(first: int, second: int, *rest: int | None) -> int:
        count = next(calls, 0)
        if not count:
            raise OSError(errno.EINVAL, "no more")
        return int(real(first, second, *rest[:-1], count))

    monkeypatch.setattr(file_copy, "_reflink", lambda *_: False)
    monkeypatch.setattr(os, call, breaks_off)
    if call == "sendfile":
        monkeypatch.setattr(os, "copy_file_range", _not_here)
    content = os.urandom(5000)
    (tmp_path / "a").write_bytes(content)

    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("xb") as target:
        file_copy.copy_contents(source.fileno(), target.fileno())

    assert (tmp_path / "b").read_bytes() == content
    assert next(calls, None) is None
