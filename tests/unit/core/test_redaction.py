"""Secrets are taken out of what is shown, and the rest stays readable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discomfort.redaction import redact, redact_value, redact_words, split_credentials

SECRET = "hunter2-SECRET"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization={SECRET}",
        f"Bearer {SECRET}",
        f"https://me:{SECRET}@host/path",
        f"https://{SECRET}@host/path",
        f"python main.py --api-token {SECRET} --port 1",
        f"python main.py --password={SECRET}",
        f"python main.py --comfy-api-key '{SECRET}'",
        f'{{"api_key_comfy_org": "{SECRET}"}}',
        f"MY_SECRET={SECRET}",
        f"Cookie: session={SECRET}",
        f"error: X-Api-Key: {SECRET} was refused",
        f"token: {SECRET}",
    ],
)
def test_secrets_by_their_look(text: str) -> None:
    """However it is written, what looks like a secret is gone."""
    shown = redact(text)

    assert SECRET not in shown
    assert "***" in shown


def test_known_secrets() -> None:
    """A header's value is taken out wherever it stands; one that is too short to be told from words is not."""
    assert redact("the server said abcdefgh!", ["abcdefgh"]) == "the server said ***!"
    assert redact("a b c", ["a"]) == "a b c"


@pytest.mark.parametrize(
    "text",
    [
        "python3 main.py --listen 127.0.0.1 --port 8188",
        "http://127.0.0.1:8188/prompt",
        "author: somebody",
        "To see the GUI go to: http://127.0.0.1:8188",
        "KSampler 20 steps",
    ],
)
def test_the_rest_stays(text: str) -> None:
    """Text without secrets stays as it is."""
    assert redact(text) == text


def test_command_lines() -> None:
    """The word after an option that is told by its name is a secret; the next option is not."""
    words = [
        "python",
        "main.py",
        "--api-token",
        SECRET,
        "--port",
        "8188",
        "--token",
        "--cpu",
        f"--key-password={SECRET}",
    ]

    assert redact_words(words) == [
        "python", "main.py", "--api-token", "***", "--port", "8188", "--token", "--cpu", "--key-password=***",
    ]  # fmt: skip


def test_values() -> None:
    """Keys tell too; numbers, flags and structure stay, other objects become text, depth is bounded."""
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    value = {"api_key": SECRET, "list": [f"token={SECRET}", 1, 2.5, None, True], "path": OSError("x"), "tokens": 3}

    shown = redact_value(value)

    assert shown == {"api_key": "***", "list": ["token=***", 1, 2.5, None, True], "path": "x", "tokens": 3}
    assert "…" in json.dumps(redact_value(deep), ensure_ascii=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_value_stays_json(value: object) -> None:
    """Nothing makes it raise, and what comes out is JSON."""
    assert json.dumps(redact_value(value)) is not None


@pytest.mark.parametrize(
    "text",
    ["token" * 40_000, "--" + "a-" * 100_000, "://" + "a" * 200_000, "Bearer " * 30_000, "auth" + " " * 200_000],
    ids=["words", "options", "address", "schemes", "blanks"],
)
def test_long_lines(text: str) -> None:
    """No input makes the patterns run away: any of these would then not end within the suite's own limit."""
    assert len(redact(text)) <= len(text)


@pytest.mark.parametrize(
    ("url", "address", "header"),
    [
        ("http://h:1/", "http://h:1", None),
        ("h:1", "http://h:1", None),
        ("https://me:pw@h/x/", "https://h/x", "Basic bWU6cHc="),
        ("https://me:p%40w@h", "https://h", "Basic bWU6cEB3"),
        ("me@h:1", "http://h:1", "Basic bWU6"),
        ("http://h/a@b", "http://h/a@b", None),
    ],
)
def test_credentials_leave_the_url(url: str, address: str, header: str | None) -> None:
    """They travel as a header, since the URL is shown in logs and errors."""
    assert split_credentials(url) == (address, {"Authorization": header} if header else {})
