"""Texts that hosts send in place of a model, such as a page for those who have to sign in. Pure."""

from __future__ import annotations

from pathlib import PurePath

from discomfort.provision.model_places import USUAL_ENDINGS

BEGINNING = 512
"""Bytes of a file that are looked at."""

_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg")
_POINTER = b"version https://git-lfs"


def text_in_place(name: str, beginning: bytes) -> str:
    """What a file with the name of a model is, if it begins as a text that cannot be one; empty if it may be one."""
    if PurePath(name).suffix.lower() not in USUAL_ENDINGS:
        return ""
    if not beginning:
        return "an empty file"
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    # Each format of models has zeros near its beginning; no text has.
    if b"\0" in beginning:
        return ""
    if text.startswith(_PAGES):
        return "a web page"
    if text.startswith(_POINTER):
        return "a pointer of Git LFS"
    return "a JSON text" if text.startswith((b"{", b"[")) else ""
