"""The ring of last lines: any bytes in, clean lines out."""

from __future__ import annotations

import pytest

from discomfort.server.log_tail import LogTail


def tail_of(*chunks: bytes, count: int = 40) -> tuple[str, ...]:
    tail = LogTail()
    for chunk in chunks:
        tail.feed(chunk)
    return tail.tail(count)


def test_lines_are_joined_over_chunks() -> None:
    """A line that arrives in pieces is one line, and an unfinished one is shown too."""
    assert tail_of(b"on", b"e\ntw", b"o") == ("one", "two")


def test_only_the_last_lines_are_kept() -> None:
    """Of a flood the last 500 lines stay, and as many as asked for are given."""
    data = b"".join(b"%d\n" % n for n in range(2000))

    assert tail_of(data, count=2) == ("1998", "1999")
    assert len(tail_of(data, count=10_000)) == 500


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"10%\r50%\r100%\n"], ("100%",)),
        ([b"10%\r", b"50%", b"\r", b"60%"], ("60%",)),
        ([b"10%\r", b"\n"], ("10%",)),
        ([b"line\r\nnext\r\n"], ("line", "next")),
        ([b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\n"], ("red text",)),
        ([b"\x1b[2K\x1b[1Abar\n"], ("bar",)),
        ([b"a\x00b\x07c\td\n"], ("abc\td",)),
        ([b"\xff\xfe ok\n"], ("\ufffd\ufffd ok",)),
        ([b"\n   \n\x1b[0m\n"], ()),
        ([], ()),
    ],
)
def test_what_a_terminal_would_show_remains(chunks: list[bytes], expected: tuple[str, ...]) -> None:
    """Escape codes, control bytes, overwritten progress and blank lines are reduced."""
    assert tail_of(*chunks) == expected


def test_a_line_without_end_is_cut() -> None:
    """A line is kept to 2,000 characters, however long it is and however it arrives."""
    (line,) = tail_of(*[b"y" * 65536] * 20)

    assert line == "y" * 2000


def test_wide_characters_do_not_shorten_a_line() -> None:
    """The limit counts characters, not bytes."""
    (line,) = tail_of("💥".encode() * 3000)

    assert line == "💥" * 2000


@pytest.mark.parametrize(
    ("chunks", "died"),
    [
        ([b"Exception in thread Thread-1 (prompt_worker):\n"], True),
        ([b"Exception in thread Thre", b"ad-12 (prompt_wor", b"ker):"], True),
        ([b"\x1b[31mException in thread Thread-1 (prompt_worker):\x1b[0m\r\n"], True),
        ([b"\x1b[1;31m[ERROR]\x1b[0m Exception in \x1b[1mthread\x1b[0m Thread-1 (prompt_worker):\n"], True),
        ([b"\x1b[1mException in thread Thread-1 (\x1b[35mprompt_worker\x1b[0m):\n"], True),
        ([b"Exception in thread Thread-1 (loader):\n"], False),
        ([b"starting prompt_worker\n(prompt_worker) Exception in thread\n"], False),
    ],
)
def test_death_of_the_worker_is_recognised(chunks: list[bytes], died: bool) -> None:
    """The line that Python writes for ComfyUI's dead execution thread is noticed, even in pieces."""
    tail = LogTail()
    for chunk in chunks:
        tail.feed(chunk)

    assert tail.worker_died is died


def test_death_of_the_worker_is_noticed_within_a_flood() -> None:
    """A line that leaves the ring at once still counts."""
    tail = LogTail()
    tail.feed(b"Exception in thread Thread-1 (prompt_worker):\n" + b"z\n" * 5000)

    assert tail.worker_died
