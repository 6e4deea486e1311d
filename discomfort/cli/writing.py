"""Files that a command leaves for its user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(file: Path, data: bytes) -> None:
    """Write ``file`` completely or not at all; an existing file is replaced. Raises OSError."""
    if file.exists() and not file.is_file():
        # /dev/stdout, a named pipe: to be written to, not replaced.
        file.write_bytes(data)
        return
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".discomfort-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
