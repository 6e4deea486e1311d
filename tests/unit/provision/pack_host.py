"""Git repositories of node packs on loopback, and programs that stand for pip, the manager and comfy-cli."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

_QUIET = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
}  # fmt: skip


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing."""


class PackHost:
    """Serves the repositories below ``folder`` at ``url``, as a plain web server does."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def repository(self, name: str, *versions: dict[str, str]) -> str:
        """Make a repository with one commit for each of ``versions`` (text by file), tagged v1, v2 …; its address."""
        work = self.folder / f"work-{name}"
        work.mkdir()
        git(work, "init", "--quiet", "--initial-branch=main")
        for number, files in enumerate(versions, 1):
            for file, text in files.items():
                (work / file).write_text(text)
            git(work, "add", "--all")
            git(work, "commit", "--quiet", "--message=x")
            git(work, "tag", f"v{number}")
        git(self.folder, "clone", "--quiet", "--bare", str(work), f"{name}.git")
        git(self.folder / f"{name}.git", "update-server-info")
        return f"{self.url}/{name}.git"


def git(folder: Path, *words: str) -> str:
    """Run git without the user's settings."""
    done = subprocess.run(["git", *words], cwd=folder, env={**os.environ, **_QUIET}, capture_output=True, check=True)
    return done.stdout.decode().strip()


@contextmanager
def served(folder: Path) -> Iterator[PackHost]:
    """A host of the repositories in ``folder``."""
    folder.mkdir(exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield PackHost(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def program(path: Path, script: str) -> Path:
    """A program that is a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def stand_in_python(home: Path, *modules: str, script: str = "") -> Path:
    """A program with the folders of a Python that has these modules; it writes its arguments to ``home/log``."""
    for module in modules:
        (home / "lib" / "python3.11" / "site-packages" / module).mkdir(parents=True, exist_ok=True)
    return program(home / "bin" / "python", f'echo "$@" >> {home}/log\n{script}')
