"""An emulator that starts, or stops, only when a test lets it: ``FOLDER NAME`` and the emulator's own arguments.

``start``: each start leaves a file ``started-1``, ``started-2`` … in the folder; all but the first then wait until
``may-start`` is there. ``stop``: at its end, after SIGTERM, it leaves ``stopping``, waits for ``may-stop``, and leaves
``stopped``; a server that was killed leaves none of them.
"""

from __future__ import annotations

import atexit
import itertools
import sys
import time
from pathlib import Path

from comfyui_emulator import command


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    while not path.exists():
        time.sleep(0.01)


def start_when_allowed(folder: Path) -> None:
    """Note the start, and wait unless it is the first."""
    for number in itertools.count(1):
        try:
            (folder / f"started-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        if number > 1:
            wait_for(folder / "may-start")
        return


def stop_when_allowed(folder: Path) -> None:
    """Note the beginning of the end, and its end."""
    (folder / "stopping").touch()
    wait_for(folder / "may-stop")
    (folder / "stopped").touch()


def main() -> int:
    """Serve."""
    folder, gate = Path(sys.argv[1]), sys.argv[2]
    if gate == "start":
        start_when_allowed(folder)
    else:
        atexit.register(stop_when_allowed, folder)
    return int(command.main(sys.argv[3:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
