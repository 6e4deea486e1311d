"""All benchmarks, one after another: ``python benchmarks/run.py [--comfyui PATH] [--full]``.

Without ``--full`` each is short: enough to see whether a figure is of the right size, not to quote it. Servers are
started here, on ports of their own, and ended. Exits with 1 where a benchmark could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from discomfort.discovery.engines import EngineRequest, resolve_engine
from discomfort.server.ports import lease_port

HERE = Path(__file__).resolve().parent
START_SECONDS = 300.0


@contextlib.contextmanager
def server(comfyui: Path | None) -> Iterator[str]:
    """A running server, the emulator where no ComfyUI is given; its address."""
    engine = resolve_engine(
        EngineRequest(
            kind="comfyui" if comfyui else "emulator",
            comfyui_path=comfyui,
            command_line="python3 main.py --cpu" if comfyui else None,
            working_directory=None,
            python=None,
            emulator_directory=None,
            cwd=Path.cwd(),
            environ=os.environ,
        )
    )
    lease = lease_port("127.0.0.1", 18990)
    command = engine.command(lease.port)
    url = f"http://127.0.0.1:{lease.port}"
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, with the server
    process = subprocess.Popen(command.argv, cwd=command.cwd, env=command.env, stdout=log, stderr=log)
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        lease.release()
        engine.discard()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the first 200. Raises RuntimeError when the server ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/prompt", timeout=1):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    raise RuntimeError(f"the server did not answer within {START_SECONDS:.0f} s")


def script(name: str, *options: str) -> bool:
    """Run one benchmark, a file or a package, and show what it prints; whether it ended well."""
    print(f"\n== {name} {' '.join(options)}", flush=True)
    what = [str(HERE / name)] if name.endswith(".py") else ["-m", name]
    return subprocess.run([sys.executable, *what, *options], check=False, cwd=HERE.parent).returncode == 0


def engines(comfyui: Path | None) -> list[tuple[str, Path | None]]:
    """What to measure on: the emulator always, ComfyUI where it is given."""
    return [("emulator", None), *([("ComfyUI", comfyui)] if comfyui else [])]


def main() -> int:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = os.environ.get("COMFYUI_PATH")
    parser.add_argument("--comfyui", type=Path, default=Path(named) if named else None, help="default: COMFYUI_PATH")
    parser.add_argument("--full", action="store_true", help="as many rounds as the quoted figures were made with")
    options = parser.parse_args()
    good = []
    for name, path in engines(options.comfyui):
        print(f"\n#### {name}", flush=True)
        start = ["--rounds", "5" if options.full else "1"]
        good.append(script("startup.py", *start, *(["--comfyui", str(path)] if path else [])))
        with server(path) as url:
            runs = [] if options.full else ["--runs", "50", "--rounds", "1"]
            good.append(script("run_overhead.py", "--url", url, *runs))
    print("\n#### without a server", flush=True)
    good.append(script("upload.py", "--gigabytes", "2" if options.full else "0.5"))
    good.append(script("context.py", *([] if options.full else ["--rounds", "200", "--killed", "0.1"])))
    good.append(script("lists.py", *([] if options.full else ["--rounds", "20", "--pictures", "100"])))
    good.append(script("conversion.py", "--literal", "12" if options.full else "2"))
    if options.comfyui:
        good.append(script("benchmarks.parity", "--comfyui", str(options.comfyui.resolve())))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
