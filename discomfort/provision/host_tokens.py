"""Tokens for the hosts that want one, from the caller, the environment, or the keyring where it is installed."""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections.abc import Mapping

from yarl import URL

from discomfort._system.concurrency import in_own_thread
from discomfort.provision.addresses import is_encrypted

_log = logging.getLogger("discomfort.provision")

_KNOWN = {"huggingface.co": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), "civitai.com": ("CIVITAI_API_TOKEN",)}
_SERVICE = "discomfort"
_KEYRING_SECONDS = 10.0
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SENDABLE = re.compile(r"[!-~]+")


def variable_of(host: str) -> str | None:
    """The variable with the token of any host: ``DOWNLOAD_TOKEN_MODELS_EXAMPLE_COM`` for models.example.com.

    A dash becomes two underscores, so no two hosts share a variable. ``None`` for what is not the name of a host.
    """
    if not _HOST.fullmatch(host):
        return None
    return "DOWNLOAD_TOKEN_" + host.replace("-", "__").replace(".", "_").upper()


def where_to_set(host: str) -> str:
    """Where the user can put a token for this host, as a sentence without its end."""
    known = _KNOWN.get(host)
    name = known[0] if known else variable_of(host)
    return f"set {name} to a token of {host}" if name else f"pass tokens={{{host!r}: …}}"


class HostTokens:
    """The tokens of hosts. ``given`` come before those of ``environ``, and these before the keyring.

    ``repr`` and logs never show one.
    """

    def __init__(self, given: Mapping[str, str] | None, environ: Mapping[str, str]) -> None:
        self._given = {host.lower(): token for host, token in (given or {}).items()}
        self._environ = environ
        self._found: dict[str, str | None] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<HostTokens of {', '.join(sorted(self._given)) or 'the environment'}>"

    async def for_url(self, url: URL) -> str | None:
        """The token to send to this address; ``None`` if there is none, or others could read it on the way."""
        if not is_encrypted(url):
            return None
        host = (url.host or "").lower().rstrip(".")
        async with self._lock:
            if host not in self._found:
                self._found[host] = self._known(host) or await self._from_keyring(host)
            return self._found[host]

    def _known(self, host: str) -> str | None:
        general = variable_of(host)
        names = (*_KNOWN.get(host, ()), *([general] if general else []))
        candidates = [self._given.get(host, ""), *(self._environ.get(name, "") for name in names)]
        token = next((each.strip() for each in candidates if each.strip()), None)
        if token is not None and not _SENDABLE.fullmatch(token):
            _log.warning("the token for %s is not sent: it has characters that no HTTP header may have", host)
            return None
        return token

    async def _from_keyring(self, host: str) -> str | None:
        try:
            async with asyncio.timeout(_KEYRING_SECONDS):
                return await in_own_thread(lambda: _ask_keyring(host))
        except TimeoutError:
            _log.warning("the keyring did not answer within %g s; no token for %s is sent", _KEYRING_SECONDS, host)
            return None


def _ask_keyring(host: str) -> str | None:
    try:
        token = importlib.import_module("keyring").get_password(_SERVICE, host)
    except ImportError:
        return None
    except Exception as error:  # noqa: BLE001 - each keyring has errors of its own, and none may end a download
        _log.debug("no keyring: %s", type(error).__name__)
        return None
    return token if isinstance(token, str) and _SENDABLE.fullmatch(token) else None
