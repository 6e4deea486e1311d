"""The environment variables of a server that is started."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

TEMPORARY = "tmp"
"""The folder for temporary files within the private one, beside ComfyUI's own ``temp``."""


def with_package(environ: Mapping[str, str]) -> Mapping[str, str]:
    """``environ`` with the path of this package, which may be a clone that is not installed."""
    folder = Path(__file__).absolute().parents[2]
    if folder in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}:
        return dict(environ)
    entries = [str(folder), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(entries)}


def with_temporary(environ: Mapping[str, str], private: Path) -> Mapping[str, str]:
    """``environ`` with a temporary folder for this server only, which is removed with it.

    SIGTERM and SIGKILL end ComfyUI before libraries delete their temporary files; torch 2.9, for example, creates a
    folder at every import. torch's cache of compiled kernels stays where it is, for the next server.
    """
    changed = {**environ, "TMPDIR": str(private / TEMPORARY)}
    with contextlib.suppress(OSError, KeyError):  # a user without a name, for whom torch has no such cache
        cache = "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        changed.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir(), cache)))
    return changed
