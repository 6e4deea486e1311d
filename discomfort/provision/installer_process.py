"""Programs that install something: git, pip, the manager. Their output is read, and they end with us."""

from __future__ import annotations

import asyncio
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from discomfort._system.concurrency import finish, in_own_thread, in_thread
from discomfort._system.process_tree import OwnProcess, kill_trees
from discomfort.exceptions import PackInstallError
from discomfort.provision.server_site import ProvidedServer
from discomfort.redaction import redact

_TAIL = 30
_LONGEST_LINE = 2000


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
        try:
            process = await in_thread(lambda: _start(words, cwd, {**self.environ, **more}))
        except OSError as error:
            raise PackInstallError(f"{words[0]} cannot be run: {error.strerror or error}", pack=self.pack) from error
        own, say = OwnProcess.of(process.pid), self._say_soon(asyncio.get_running_loop())
        if own is not None:
            self.server.watch(own.pid, own.start_time)
        try:
            async with asyncio.timeout(self.seconds):
                code = await in_own_thread(lambda: _read(process, lines, say))
        except TimeoutError as error:
            raise PackInstallError(
                f"{words[0]} did not end within {self.seconds:g} s", pack=self.pack, log_tail=lines,
            ) from error  # fmt: skip
        finally:
            if own is not None:
                await finish(in_own_thread(lambda: kill_trees([own])))
                self.server.forget(own.pid)
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


def _start(words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(words), cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _read(process: subprocess.Popen[bytes], lines: deque[str], say: Callable[[str], None]) -> int:
    with process:
        stream = process.stdout
        while stream is not None and (raw := stream.readline(_LONGEST_LINE)):
            line = redact(raw.decode(errors="replace").rstrip())
            if line:
                lines.append(line)
                say(line)
    return process.returncode
