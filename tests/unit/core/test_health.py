"""Slow or stuck: the report on each part, and the evidence against a server that answers."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from discomfort.connector import health
from discomfort.connector.health import StuckWatch, examine, process_problem
from discomfort.exceptions import ServerConnectionError, ServerResponseError

DEATH = ["got prompt\n", "Exception in thread ", "Thread-1 (prompt_worker)", ":\n", "KeyError: '99'\n"]


class FakeRest:
    """A server as its queue shows it; ``looks`` is one entry per look."""

    def __init__(self, *looks: Any, log: Any = None) -> None:
        self.looks, self.log, self.logs_read = list(looks), log, 0
        self.client: Any = SimpleNamespace(rest=self, pending=1, connected=True)

    async def queue(self, **_: Any) -> dict[str, Any]:
        """The next look; the runs are over after the last."""
        look = self.looks.pop(0)
        if not self.looks:
            self.client.pending = 0
        if isinstance(look, Exception):
            raise look
        running, pending = look
        items = [[number, prompt_id, {}, {}, []] for number, prompt_id in enumerate(pending)]
        return {"queue_running": [[0, prompt_id, {}, {}, []] for prompt_id in running], "queue_pending": items}

    async def logs(self, **_: Any) -> dict[str, Any]:
        """``/internal/logs/raw``."""
        self.logs_read += 1
        if isinstance(self.log, Exception):
            raise self.log
        return {"entries": [{"t": "", "m": text} for text in self.log or []]}

    async def remaining(self, **_: Any) -> int:
        """``GET /prompt``."""
        if isinstance(self.log, Exception):
            raise self.log
        return 0


async def watch(rest: FakeRest, *, stuck_after: float = 0.0, reads_log: bool = False) -> list[str]:
    """What the watch finds until the runs are over."""
    found: list[str] = []
    await StuckWatch(
        lambda: rest.client, found.append, reads_log=reads_log, look_every=0.001, stuck_after=stuck_after
    ).watch()
    return found


async def test_first_in_line_while_nothing_runs() -> None:
    """A prompt that could start and does not, look after look, proves that the server is stuck."""
    rest = FakeRest(*[([], ["a", "b"])] * 3)

    (problem,) = await watch(rest)

    assert "a has been first in the queue" in problem


@pytest.mark.parametrize(
    "looks",
    [
        [(["x"], ["a"])] * 5,
        [([], [])] * 5,
        [([], ["a"]), ([], ["b"]), ([], ["c"]), ([], ["d"])],
        [([], ["a"]), (["a"], ["b"]), ([], ["b"])],
        [([], ["a"]), ServerConnectionError("busy", url="http://x"), ([], ["a"])],
        [ServerResponseError("bad", method="GET", url="http://x", status=502)] * 3,
    ],
    ids=["something runs", "empty", "the line moves", "it ran meanwhile", "busy between", "errors"],
)
async def test_no_false_alarm(looks: list[Any]) -> None:
    """A long run, a line that moves, a server that is too busy to answer: none of them is a dead worker."""
    assert await watch(FakeRest(*looks)) == []


async def test_time_is_given() -> None:
    """Between two prompts the server may unload models: the first look is not the last."""
    assert await watch(FakeRest(*[([], ["a"])] * 5), stuck_after=60.0) == []


COLOURED = [
    "\x1b[31m[ERROR]\x1b[0m got prompt\n",
    "\x1b[1mException in thread Thread-1 (\x1b[35mprompt_worker\x1b[0m):\n",
]


@pytest.mark.parametrize("log", [DEATH, COLOURED])
async def test_log_of_somebody_elses_server(log: list[str]) -> None:
    """The line about the execution thread, in however many writes, is found where the process is not ours."""
    rest = FakeRest(*[(["a"], ["b"])] * 3, log=log)

    (problem,) = await watch(rest, reads_log=True)

    assert "as its log says" in problem


async def test_log_is_read_only_where_nothing_moves() -> None:
    """Runs that follow each other cost no look at the log, and a server that shows none is not asked again."""
    rest = FakeRest((["a"], []), (["b"], []), (["c"], []), log=DEATH)
    assert await watch(rest, reads_log=True) == []
    assert rest.logs_read == 0

    rest = FakeRest(*[(["a"], [])] * 5, log=ServerResponseError("no", method="GET", url="http://x", status=404))
    assert await watch(rest, reads_log=True) == []
    assert rest.logs_read == 1


async def test_healthy_log() -> None:
    """Other tracebacks in the log do not mean that the worker died."""
    rest = FakeRest(*[(["a"], [])] * 4, log=["Traceback (most recent call last):\n", "ValueError: boom\n"])

    assert await watch(rest, reads_log=True) == []


async def test_watch_outlives_a_restart() -> None:
    """While the server is restarted there is no client; the runs that are submitted again are watched as before."""
    rest, found = FakeRest(([], ["p"]), ([], ["p"]), ([], [])), list[str]()
    clients = [None, None, *[rest.client] * 3]
    await StuckWatch(lambda: clients.pop(0), found.append, reads_log=False, look_every=0.001, stuck_after=0.0).watch()

    assert len(found) == 1
    assert "p has been first in the queue" in found[0]


def parts(rest: FakeRest | None, **more: Any) -> Any:
    """An assembly as far as it is examined."""
    facts = {"owned": False, "converter": None, "supervisor": None, "client": rest and rest.client}
    return SimpleNamespace(**(facts | more))


async def test_examine_names_the_part() -> None:
    """Each part has its own line, empty where it is well."""
    browser = SimpleNamespace(browser_state="died")
    healthy = await examine(parts(FakeRest()), http_timeout=1)
    assert healthy == {"client": "", "WebSocket": "", "HTTP": ""}

    assert await examine(parts(None), http_timeout=1) == {"client": "is not connected"}
    found = await examine(parts(FakeRest(), converter=browser, owned=True), http_timeout=1)
    assert found["browser"] == "does not run"
    assert found["server process"] == "was not started"
    assert "HTTP" not in found


@pytest.mark.parametrize(("state", "problem"), [("idle", ""), ("running", ""), ("died", "does not run")])
async def test_browser_that_was_not_needed_is_well(state: str, problem: str) -> None:
    """A lazy browser with a warm cache is never launched: a platform's health check must not recycle the worker."""
    found = await examine(parts(FakeRest(), converter=SimpleNamespace(browser_state=state)), http_timeout=1)
    assert found["browser"] == problem


async def test_examine_tells_silence_from_refusal() -> None:
    """A server that is only slow is told from one whose port is closed."""
    slow = await examine(parts(FakeRest(log=ServerConnectionError("no answer within 1 s", url="u"))), http_timeout=1)
    assert slow["HTTP"] == "no answer within 1 s"

    refused = ServerConnectionError("cannot connect", url="u")
    refused.__cause__ = _connector_error()
    assert (await examine(parts(FakeRest(log=refused)), http_timeout=1))["HTTP"] == health.REFUSED

    distrusted = ServerConnectionError("its certificate is not trusted", url="u")
    distrusted.__cause__ = _connector_error(ssl.SSLCertVerificationError("self-signed"))
    found = (await examine(parts(FakeRest(log=distrusted)), http_timeout=1))["HTTP"]
    assert found == f"{health.UNCONNECTED}: its certificate is not trusted"

    wrong = ServerResponseError("odd", method="GET", url="u", status=502)
    assert (await examine(parts(FakeRest(log=wrong)), http_timeout=1))["HTTP"] == "answers 502"


def _connector_error(reason: OSError | None = None) -> Exception:
    import aiohttp

    key: Any = SimpleNamespace(host="h", port=1, ssl=None)
    return aiohttp.ClientConnectorError(key, reason or ConnectionRefusedError("refused"))


def test_process_problems() -> None:
    """A live, a stopped, a dead process and one without its worker are told apart."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        supervisor: Any = SimpleNamespace(pid=process.pid, running=True, worker_died=False, exit=None)
        assert process_problem(supervisor) == ""
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert "stopped" in process_problem(supervisor)
        supervisor.worker_died = True
        assert "execution thread" in process_problem(supervisor)
        supervisor.running, supervisor.exit = False, "killed by SIGKILL"
        assert process_problem(supervisor) == "died: killed by SIGKILL"
    finally:
        process.kill()
        process.communicate()
    gone: Any = SimpleNamespace(pid=process.pid, running=True, worker_died=False)
    assert not psutil.pid_exists(process.pid)
    assert "cannot be examined" in process_problem(gone)
