"""Removes secrets from texts that are shown, logged, or sent with a report. Pure functions.

No pattern finds every secret. Known ones (the headers of an attached server) are removed by value, others by their
form: credentials in a URL, ``Bearer …``, ``--token x``, ``api_key=x``, values of JSON keys with such names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote

STARS = "***"
_WORD = (
    r"(?:api[-_]?key|access[-_]?key|private[-_]?key|secret|token|passw(?:or)?d|passphrase|authorization|credential"
    r"|cookie|signature|auth(?!or))"
)
_SECRET = re.compile(_WORD, re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s\"']{1,500}@")
_SCHEME = re.compile(r"\b(Bearer|Basic|Token)\s{1,3}[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_PAIR = re.compile(
    rf"({_WORD}[\w-]{{0,40}}[\"']?\s{{0,3}}[=:]\s{{0,3}}[\"']?)(?!\*\*\*)((?:Bearer|Basic)\s+)?[^\s\"',;&}}\])]+",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?<![\w-])(--?[\w-]{1,80}?)(=|\s+)(?!-)([^\s\"']+|\"[^\"]*\"|'[^']*')")
_SHORTEST = 4
_DEEPEST = 40


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with ``***`` in place of everything that is, or looks like, a secret; ``secrets`` are known ones."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, STARS)
    text = _USER.sub(f"{STARS}@", text)
    text = _SCHEME.sub(rf"\1 {STARS}", text)
    text = _OPTION.sub(_redact_option, text)
    return _PAIR.sub(rf"\1{STARS}", text)


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """``url`` with a scheme and without credentials, and the header that replaces the credentials."""
    address = url.rstrip("/")
    if not address.startswith(("http://", "https://")):
        address = f"http://{address}"
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    if not at:
        return address, {}
    name, _, password = user.partition(":")
    encoded = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
    return f"{scheme}://{host}{slash}{path}", {"Authorization": f"Basic {encoded}"}


def redact_words(words: Sequence[str], secrets: Iterable[str] = ()) -> list[str]:
    """A command line without secrets, including the value after ``--token``."""
    known = tuple(secrets)
    shown: list[str] = []
    hides_next = False
    for word in words:
        if hides_next and not word.startswith("--"):
            shown.append(STARS)
        else:
            shown.append(redact(word, known))
        hides_next = word.startswith("-") and "=" not in word and _SECRET.search(word) is not None
    return shown


def redact_value(value: object, secrets: Iterable[str] = (), *, depth: int = 0) -> object:
    """A JSON-like value with its texts redacted, and the values of keys such as ``api_key`` removed."""
    known = tuple(secrets)
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, Mapping):
        return {
            str(key): STARS
            if isinstance(content, str) and content and _SECRET.search(str(key))
            else redact_value(content, known, depth=depth + 1)
            for key, content in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item, known, depth=depth + 1) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value), known)


def _redact_option(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{STARS}" if _SECRET.search(match[1]) else match[0]
