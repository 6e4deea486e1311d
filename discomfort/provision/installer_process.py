"""Programs that install something: git, pip, the manager. Their output is read, and they end with us."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from discomfort._system.concurrency import finish, in_own_thread
from discomfort._system.process_tree import OwnProcess, kill_trees
from discomfort.exceptions import PackInstallError
from discomfort.provision.server_site import ProvidedServer
from discomfort.redaction import redact

_TAIL = 30
_LONGEST_LINE = 2000
_REAP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Installer:
    """Runs the programs that install ``pack``, each for ``seconds`` at most; ``say`` gets each line of output."""

    pack: str
    server: ProvidedServer
    environ: Mapping[str, str]
    seconds: float
    say: Callable[[str], None]

    async def run(self, words: Sequence[str], cwd: Path, **more: str) -> list[str]:
        """Run a program to its end, and return the end of its output. ``more`` are further variables.

        If cancelled, or too slow, it is killed with all its children. Raises PackInstallError.
        """
        lines: deque[str] = deque(maxlen=_TAIL)
        say = self._say_soon(asyncio.get_running_loop())
        job = _Job(list(words), cwd, {**self.environ, **more}, lines, say, self.server)
        try:
            async with asyncio.timeout(self.seconds):
                code = await in_own_thread(job.work)
        except TimeoutError as error:
            raise PackInstallError(
                f"{words[0]} did not end within {self.seconds:g} s", pack=self.pack, log_tail=lines,
            ) from error  # fmt: skip
        except OSError as error:
            raise PackInstallError(f"{words[0]} cannot be run: {error.strerror or error}", pack=self.pack) from error
        finally:
            await finish(in_own_thread(job.end))
        if code:
            problem = f"{Path(words[0]).name} {' '.join(words[1:3])} ended with exit code {code}"
            raise PackInstallError(redact(problem), pack=self.pack, log_tail=lines)
        return list(lines)

    def _say_soon(self, loop: asyncio.AbstractEventLoop) -> Callable[[str], None]:
        return lambda line: _in_loop(loop, self.say, line)


def _in_loop(loop: asyncio.AbstractEventLoop, say: Callable[[str], None], line: str) -> None:
    try:
        loop.call_soon_threadsafe(say, line)
    except RuntimeError:  # the loop was closed, so nobody listens
        return


class _Job:
    """One program. :meth:`end` may come at any moment, also before it is started, which it is not then."""

    def __init__(
        self,
        words: list[str],
        cwd: Path,
        environ: Mapping[str, str],
        lines: deque[str],
        say: Callable[[str], None],
        server: ProvidedServer,
    ) -> None:
        self._words, self._cwd, self._environ = words, cwd, environ
        self._lines, self._say, self._server = lines, say, server
        self._lock, self._is_over = threading.Lock(), False
        self._own: OwnProcess | None = None
        self._reaped = threading.Event()

    def work(self) -> int:
        """Start it, and read its output to the end; the exit code. Raises OSError."""
        with self._lock:
            if self._is_over:
                return -1
            process = subprocess.Popen(
                self._words, cwd=self._cwd, env=dict(self._environ), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._own = OwnProcess.of(process.pid)
            if self._own is not None:
                self._server.watch(self._own.pid, self._own.start_time)
        with process:
            stream = process.stdout
            while stream is not None and (raw := stream.readline(_LONGEST_LINE)):
                line = redact(raw.decode(errors="replace").rstrip())
                if line:
                    self._lines.append(line)
                    self._say(line)
        self._reaped.set()
        return process.returncode

    def end(self) -> None:
        """Kill it, if it still runs, with all its children."""
        with self._lock:
            self._is_over, own = True, self._own
        if own is not None:
            kill_trees([own])
            self._reaped.wait(_REAP_SECONDS)
            self._server.forget(own.pid)
