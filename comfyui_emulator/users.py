"""Users of the server: a single one, or several that a header distinguishes (``--multi-user``)."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

HEADER = "comfy-user"
"""The request header that names the user of a multi-user server (ComfyUI protocol)."""


class UnknownUserError(KeyError):
    """A request names a user that the server does not have."""


class DuplicateUserError(ValueError):
    """A user of that name already exists."""


class RefusedUserError(ValueError):
    """A name that no user may have; the text is ComfyUI's."""


SYSTEM_PREFIX = "__"
"""The beginning of names that belong to the server itself (ComfyUI 0.3.76)."""


class Users:
    """The users of one server, kept in ``users.json`` of its user folder.

    A single-user server has only the user ``default``, whom every request gets. On a multi-user server, a request
    without the header asks for ``default`` too, which does not exist there.
    """

    def __init__(self, folder: Path, *, multiple: bool) -> None:
        self._folder, self.multiple = folder, multiple
        self.names: dict[str, str] = {} if multiple else {"default": "default"}
        if multiple and self._file.is_file():
            self.names = dict(json.loads(self._file.read_text("utf-8")))

    @property
    def _file(self) -> Path:
        return self._folder / "users.json"

    def home(self, wanted: str | None) -> Path:
        """The folder of the user that a request's header names. Raises :class:`UnknownUserError`."""
        user = wanted if self.multiple and wanted is not None else "default"
        if user not in self.names or user.startswith(SYSTEM_PREFIX):
            raise UnknownUserError(f"Unknown user: {user}")
        return self._folder / user

    def add(self, name: str) -> str:
        """Create a user; the result is its id. Blocking.

        Raises :class:`DuplicateUserError`, or :class:`RefusedUserError` for a blank name or the server's prefix.
        """
        if name in self.names.values():
            raise DuplicateUserError("Duplicate username.")
        name = name.strip()
        if not name:
            raise RefusedUserError("username not provided")
        plain = re.sub("[^a-zA-Z0-9_-]+", "-", name)
        if name.startswith(SYSTEM_PREFIX) or plain.startswith(SYSTEM_PREFIX):
            raise RefusedUserError("System User prefix not allowed")
        user = f"{plain}_{uuid.uuid4()}"
        self.names[user] = name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.names), "utf-8")
        return user
