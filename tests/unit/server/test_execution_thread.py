"""Finding the execution thread from outside."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from waiting import until_blocking

from discomfort._system.process_table import thread_lives, thread_work
from discomfort.server.execution_thread import LEAST_WORK, execution_thread

MS = 1_000_000


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({1: 0, 2: 0, 3: 0}, {1: 90 * MS, 2: 9 * MS, 3: MS}, 2),
        ({1: 0, 2: 5 * MS}, {1: 90 * MS, 2: 9 * MS}, 2),
        ({1: 0, 2: 0, 3: 0}, {1: 0, 2: 9 * MS, 3: 8 * MS}, None),
        ({1: 0, 2: 0}, {1: 90 * MS, 2: LEAST_WORK - 1}, None),
        ({1: 0, 2: 0}, {1: 90 * MS, 3: 9 * MS}, None),
        ({1: 0}, {1: 90 * MS, 2: 9 * MS}, None),
        ({}, {1: 9 * MS, 2: 9 * MS}, None),
        ({1: 0, 2: 0}, {}, None),
    ],
    ids=["busiest", "by difference", "no clear lead", "too little", "ended", "new", "unknown before", "unknown after"],
)
def test_the_thread_that_worked_is_found_where_it_is_clear(
    before: dict[int, int], after: dict[int, int], found: int | None
) -> None:
    """Process 1's main thread never counts; doubt gives nothing."""
    assert execution_thread(1, before, after) == found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_thread_is_found_and_seen_to_end() -> None:
    """A thread that computes while another sleeps is the one; when it has ended it is gone."""
    go, done, leave = threading.Event(), threading.Event(), threading.Event()
    ids: list[int] = []

    def compute() -> None:
        ids.append(threading.get_native_id())
        go.wait()
        sum(number * number for number in range(2_000_000))
        done.set()
        leave.wait()

    thread = threading.Thread(target=compute)
    thread.start()
    before = thread_work(os.getpid())
    go.set()
    done.wait()
    found = execution_thread(os.getpid(), before, thread_work(os.getpid()))
    lived = thread_lives(os.getpid(), ids[0])
    leave.set()
    thread.join()

    assert found == ids[0]
    assert lived
    # `join` returns when the thread is done with Python; the system ends it a moment later.
    until_blocking(lambda: not thread_lives(os.getpid(), ids[0]))


def test_a_process_that_is_not_there() -> None:
    """Nothing is known of its threads, and that is not an error."""
    assert thread_work(2**22 + 1) == {}
