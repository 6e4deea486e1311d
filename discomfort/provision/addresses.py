"""The addresses that files come from. A workflow names them, and anybody may have written that workflow. Pure."""

from __future__ import annotations

import ipaddress

from yarl import URL

from discomfort.exceptions import DownloadError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""Addresses that a gateway translates to the IPv4 address in their last 32 bits (RFC 6052)."""

_HUGGING_FACE = "huggingface.co"


def checked_url(text: str, name: str) -> URL:
    """The address of file ``name``. Raises DownloadError unless it is one of http or https without credentials.

    The address of a page of huggingface.co that shows a file, or its pointer of Git LFS, becomes that of the file.
    """
    try:
        url = URL(text.strip())
        has_host = bool(url.host) and url.port != 0
    except ValueError as error:
        raise DownloadError(f"its address is not a URL: {error}", name=name) from error
    if url.scheme not in _DEFAULT_PORTS or not has_host:
        raise DownloadError(
            f"its address begins with {url.scheme or 'no scheme'!r}; only http and https addresses are fetched",
            name=name, url=shown(url),
        )  # fmt: skip
    if url.user is not None or url.password is not None:
        raise DownloadError(
            "its address contains credentials, which would be shown and logged", name=name, url=shown(url),
            remedy="Take them out, and set a token for the host in the environment",
        )  # fmt: skip
    parts = url.raw_path.split("/")
    if url.host == _HUGGING_FACE and parts[3:4] in (["blob"], ["raw"]):
        return url.with_path("/".join([*parts[:3], "resolve", *parts[4:]]), encoded=True, keep_query=True)
    return url.with_fragment(None)


def shown(url: URL) -> str:
    """The address for people and logs: without credentials and query, either of which may be a secret."""
    try:
        return str(url.with_user(None).with_query(None).with_fragment(None))
    except ValueError:  # not one with a host
        return f"{url.scheme}:…" if url.scheme else "…"


def origin(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: a token belongs to one of these."""
    return url.scheme, (url.host or "").lower().rstrip("."), url.port


def is_encrypted(url: URL) -> bool:
    """Whether nobody on the way can read or change what passes; within this machine nobody is on the way."""
    return url.scheme == "https" or _is_loopback(url.host or "")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, and not of this machine, its network or its cloud."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def names_private_address(url: URL) -> bool:
    """Whether the host is written as an IP address that is not public. Names are looked up when they are connected."""
    host = url.host or ""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not is_public(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
