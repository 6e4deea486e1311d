"""The cache gives back what was put in, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from discomfort.conversion.cache import FORMAT, CachedPrompt, PromptCache, default_directory

KEY = "ab" + "0" * 62
PROMPT = CachedPrompt(b'{"1": {"class_type": "A", "inputs": {"seed": 18446744073709552000}}}')


def stored(directory: Path) -> list[Path]:
    """The files of a cache."""
    return [path for path in directory.rglob("*") if path.is_file()]


def test_entry_survives_the_process(tmp_path: Path) -> None:
    """Another instance on the same folder finds the entry; each caller gets an object of its own."""
    PromptCache(tmp_path).put(KEY, CachedPrompt(PROMPT.prompt, "digest"))

    entry = PromptCache(tmp_path).get(KEY)

    assert entry == CachedPrompt(PROMPT.prompt, "digest")
    assert entry.output() is not entry.output()
    assert entry.output()["1"]["inputs"]["seed"] == 18446744073709552000
    assert isinstance(entry.output()["1"]["inputs"]["seed"], int)


def test_without_a_folder_memory_serves(tmp_path: Path) -> None:
    """A cache without a folder works for its own process."""
    cache = PromptCache(None)
    cache.put(KEY, PROMPT)

    assert cache.get(KEY) == cache.recall(KEY) == PROMPT
    assert cache.get("0" * 64) is None
    assert "memory" in repr(cache)


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "other format", "checksum of garbage"])
def test_damage_is_ignored(tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged entry is as if it were not there, is removed, and can be written again."""
    import hashlib

    PromptCache(tmp_path).put(KEY, PROMPT)
    (path,) = stored(tmp_path)
    data = path.read_bytes()
    body = b"no json\nno json"
    damaged = {
        "cut": data[:-3],
        "flip": data[:-9] + b"X" + data[-8:],
        "empty": b"",
        "other format": b"discomfort-prompt-0\n" + data.removeprefix(FORMAT),
        "checksum of garbage": FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body,
    }
    path.write_bytes(damaged[change])
    cache = PromptCache(tmp_path)

    assert cache.get(KEY) is None

    assert stored(tmp_path) == []
    assert "damaged" in caplog.text
    cache.put(KEY, PROMPT)
    assert PromptCache(tmp_path).get(KEY) == PROMPT


def test_size_is_bounded(tmp_path: Path) -> None:
    """The entries that were unused longest go first; a use counts."""
    entry = CachedPrompt(b'{"a": "' + b"x" * 1000 + b'"}')
    cache = PromptCache(tmp_path, max_bytes=20_000)
    keys = [f"{number:02x}" + "0" * 62 for number in range(65)]
    for number, key in enumerate(keys):
        cache.put(key, entry)
        os.utime(cache._path(tmp_path, key), (number, number))
        if number == 63:
            PromptCache(tmp_path).get(keys[0])

    left = {path.stem for path in stored(tmp_path)}

    assert sum(path.stat().st_size for path in stored(tmp_path)) <= 20_000
    assert keys[0] in left
    assert keys[1] not in left
    assert keys[64] in left


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory the entries that were unused longest go first."""
    monkeypatch.setattr("discomfort.conversion.cache.MEMORY_ENTRIES", 2)
    cache = PromptCache(None)
    for key in ("a", "b"):
        cache.put(key, PROMPT)
    cache.recall("a")
    cache.put("c", PROMPT)

    assert [cache.recall(key) is not None for key in "abc"] == [True, False, True]


def test_unusable_folder_is_an_empty_cache(tmp_path: Path) -> None:
    """A folder that cannot be made costs nothing but the entries."""
    (tmp_path / "file").write_text("in the way")
    cache = PromptCache(tmp_path / "file" / "cache")
    cache.put(KEY, PROMPT)

    assert cache.recall(KEY) == PROMPT
    assert PromptCache(tmp_path / "file" / "cache").get(KEY) is None


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full leaves neither an entry nor a temporary file."""

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    PromptCache(tmp_path).put(KEY, PROMPT)

    assert stored(tmp_path) == []


def test_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default is below the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    assert default_directory().is_relative_to(tmp_path)
