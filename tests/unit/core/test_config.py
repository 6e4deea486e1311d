"""Settings: where they come from, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from discomfort.config import SettingArguments, Settings, load_settings
from discomfort.exceptions import ConfigurationError

DOCUMENTED = {
    "API_COMMAND_LINE": "python3 main.py",
    "API_WORKING_DIRECTORY": "./",
    "API_URL": "127.0.0.1",
    "INITIAL_PORT": 8189,
    "TEST_PAYLOAD_FILE": "test_server.json",
    "MAX_COMFY_START_ATTEMPTS": 20,
    "COMFY_START_ATTEMPTS_SLEEP": 2.0,
    "COMFYUI_PATH": "./",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("DISCOMFORT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_defaults_are_the_documented_ones() -> None:
    """Without any configuration the documented defaults hold."""
    settings = load_settings()

    assert (settings.api_url, settings.initial_port, settings.engine) == ("127.0.0.1", 8188, "auto")
    assert (settings.max_comfy_start_attempts, settings.comfy_start_attempts_sleep) == (10, 1.0)
    assert settings.sources == {}


def test_documented_file_is_read(tmp_path: Path) -> None:
    """Every documented key is taken, paths relative to the working directory."""
    settings = load_settings(write(tmp_path / "c.json", DOCUMENTED))

    assert settings.initial_port == 8189
    assert settings.comfyui_path == tmp_path
    assert settings.api_command_line == "python3 main.py"
    assert settings.test_payload_file is None, "the documented default names the bundled self-test"
    assert settings.sources["initial_port"] == str(tmp_path / "c.json")


def test_a_test_payload_that_exists_under_the_default_name_is_used(tmp_path: Path) -> None:
    """A test_server.json in the working directory goes before the bundled one."""
    write(tmp_path / "test_server.json", {})

    assert load_settings(write(tmp_path / "c.json", DOCUMENTED)).test_payload_file == tmp_path / "test_server.json"


def test_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    """comfy_serverless.json is read without being named."""
    write(tmp_path / "comfy_serverless.json", {"initial_port": 9001})

    assert load_settings().initial_port == 9001


def test_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments go before the environment, the environment before the file."""
    path = write(tmp_path / "c.json", {"INITIAL_PORT": 1001, "API_URL": "localhost", "ENGINE": "emulator"})
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "1002")
    monkeypatch.setenv("DISCOMFORT_API_URL", "127.0.0.2")

    settings = load_settings(path, initial_port=1003)

    assert (settings.initial_port, settings.api_url, settings.engine) == (1003, "127.0.0.2", "emulator")
    assert settings.sources["api_url"] == "environment variable DISCOMFORT_API_URL"


def test_config_file_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DISCOMFORT_CONFIG names the file where no argument does."""
    monkeypatch.setenv("DISCOMFORT_CONFIG", str(write(tmp_path / "c.json", {"INITIAL_PORT": 1004})))

    assert load_settings().initial_port == 1004


def test_missing_file() -> None:
    """A named file that is not there is the builtin error, with the path in it."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        load_settings("nowhere.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1]", "must contain a JSON object"),
        ('{"INITIAL_PROT": 1}', "nearest known key is INITIAL_PORT"),
        ('{"COLOUR": 1}', "unknown key"),
        ('{"INITIAL_PORT": 0}', "INITIAL_PORT=0"),
        ('{"INITIAL_PORT": 70000}', "INITIAL_PORT=70000"),
        ('{"INITIAL_PORT": true}', "must be a number"),
        ('{"INITIAL_PORT": "x"}', "INITIAL_PORT='x'"),
        ('{"MAX_COMFY_START_ATTEMPTS": 0}', "MAX_COMFY_START_ATTEMPTS=0"),
        ('{"COMFY_START_ATTEMPTS_SLEEP": -1}', "COMFY_START_ATTEMPTS_SLEEP=-1"),
        ('{"COMFY_START_ATTEMPTS_SLEEP": NaN}', "COMFY_START_ATTEMPTS_SLEEP=nan"),
        ('{"API_COMMAND_LINE": ""}', "the command is empty"),
        ('{"API_COMMAND_LINE": "python \\"main.py"}', "No closing quotation"),
        ('{"API_URL": "127.0.0.1:8188"}', "the port is INITIAL_PORT"),
        ('{"API_URL": "http://host/path"}', "a host name or address"),
        ('{"COMFYUI_PATH": "a\\u0000b"}', "NUL"),
        ('{"ENGINE": "comfy"}', "ENGINE='comfy'"),
        ('{"BROWSER": "never"}', "BROWSER='never'"),
        ('{"PROMPT_CACHE": "onn"}', "'on', 'off' or a folder"),
        ('{"PROMPT_CACHE": false}', "'on', 'off' or a folder"),
    ],
)
def test_wrong_configuration(tmp_path: Path, content: str, message: str) -> None:
    """Each wrong file is a ConfigurationError, which is a ValueError, that names key, value and source."""
    path = write(tmp_path / "c.json", content)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_wrong_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of a wrong value is part of the message."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "many")

    with pytest.raises(ConfigurationError, match="environment variable DISCOMFORT_INITIAL_PORT"):
        load_settings()


def test_unknown_environment_variable_is_only_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A variable that is no setting may belong to another program: a warning with the nearest name."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PROT", "1")

    load_settings()

    assert "INITIAL_PORT" in caplog.text


def test_unknown_argument() -> None:
    """A misspelt argument is an error too."""
    with pytest.raises(ConfigurationError, match="nearest known key is ENGINE"):
        load_settings(engin="emulator")


@pytest.mark.parametrize(
    ("api_url", "host"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("localhost", "localhost"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("[::1]", "[::1]"),
    ],
)
def test_connect_host(api_url: str, host: str) -> None:
    """Wildcards connect through loopback, IPv6 addresses are bracketed."""
    assert Settings(api_url=api_url).connect_host == host


@pytest.mark.parametrize(("value", "meant"), [("on", "on"), ("off", "off"), ("./cache", "cache"), ("/c", Path("/c"))])
def test_prompt_cache(tmp_path: Path, value: str, meant: str | Path) -> None:
    """A switch or a folder, relative to the working directory."""
    expected = tmp_path / meant if meant == "cache" else meant

    assert load_settings(prompt_cache=value).prompt_cache == expected


def test_keyword_arguments_are_the_settings() -> None:
    """What editors offer as arguments of ``create`` are the settings, each of the type that it takes, or ``None``."""
    offered = get_type_hints(SettingArguments)

    assert list(offered) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert type(None) in get_args(offered[name]), name
        if name != "prompt_cache":  # a folder, too: any text
            assert _words(offered[name]) == _words(field.annotation), name


def _words(kind: object) -> set[object]:
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    return {word for member in get_args(kind) for word in _words(member)}
