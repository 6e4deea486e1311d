"""Nothing is fetched without consent, and what people agree to is what happens: hosts, sizes, targets, tokens."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from unit.provision.file_host import FileHost, redirect, status
from unit.provision.provide_site import NAME, StandInServer, model, plan, provide, sha256
from yarl import URL

from discomfort.exceptions import ConfigurationError, ConsentError, DownloadError, ProvideError
from discomfort.planning.needs import ValueNeed
from discomfort.provision.addresses import checked_url, is_public
from discomfort.provision.host_tokens import HostTokens, variable_of
from discomfort.provision.proposal import Proposal

CONTENT = b"weights" * 1000
SECRET = "hf_secret_of_the_user"


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with FileHost(CONTENT) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> StandInServer:
    return StandInServer(tmp_path)


async def test_without_consent_nothing_happens(host: FileHost, server: StandInServer) -> None:
    """The error shows host, size, hash and target of what would be fetched, and no host was asked."""
    needed = plan(model(host.url("/m?key=hidden"), digest=sha256(CONTENT), size=7_000_000_000))

    with pytest.raises(ConsentError) as caught:
        await provide(server, needed, yes=False)

    text = str(caught.value)
    for part in ("127.0.0.1", "7.0 GB", "sha256", str(server.models / "checkpoints" / NAME), "yes=True"):
        assert part in text
    assert "hidden" not in text
    assert host.asked == []


@pytest.mark.parametrize("answer", [False, None, "yes", 1])
async def test_only_true_is_consent(host: FileHost, server: StandInServer, answer: Any) -> None:
    """A function that returns anything else, or forgets to return, has not agreed."""
    with pytest.raises(ConsentError, match="declined"):
        await provide(server, plan(model(host.url())), yes=False, consent=lambda _: answer)

    assert host.asked == []


async def test_a_function_decides(host: FileHost, server: StandInServer) -> None:
    """It sees the proposal, and may be a coroutine function."""
    seen: list[Proposal] = []

    async def agree(proposal: Proposal) -> bool:
        seen.append(proposal)
        return proposal.hosts == ("127.0.0.1",)

    report = await provide(server, plan(model(host.url())), yes=False, consent=agree)

    assert report.is_complete
    assert seen == [report.proposal]
    assert "not checked" in str(seen[0])


async def test_a_dry_run_asks_nobody(host: FileHost, server: StandInServer) -> None:
    """It says what would be done, needs no consent, and does nothing."""
    report = await provide(server, plan(model(host.url()), model(None, name="b.safetensors")), yes=False, dry_run=True)

    assert [(item.outcome, item.name) for item in report.items] == [
        ("planned", f"checkpoints/{NAME}"),
        ("impossible", "checkpoints/b.safetensors"),
    ]
    assert not report.is_complete
    assert report.to_json()["proposal"]["models"][0]["host"] == "127.0.0.1"
    assert host.asked == []


async def test_nothing_to_do_needs_no_consent(server: StandInServer) -> None:
    """A plan that lacks nothing, or nothing that can be fetched, is reported as it is."""
    assert (await provide(server, plan(), yes=False)).is_complete
    assert not (await provide(server, plan(model(None)), yes=False)).is_complete


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../evil.safetensors", "leave its folder"),
        ("/etc/evil.safetensors", "leave its folder"),
        ("a/../../b.safetensors", "leave its folder"),
        ("..\\evil.safetensors", "leave its folder"),
        ("a\0.safetensors", "leave its folder"),
        (".hidden.safetensors", "hidden"),
        ("x" * 250 + ".safetensors", "too long"),
        ("run.py", "ending"),
        ("model.pth", "ending"),
        ("__init__", "ending"),
    ],
)
async def test_names_stay_in_their_folder(server: StandInServer, host: FileHost, name: str, reason: str) -> None:
    """A name that leads out of the folder of its kind, or is not one of a model, is not fetched."""
    report = await provide(server, plan(model(host.url(), name=name)))

    assert [item.outcome for item in report.items] == ["impossible"]
    assert reason in report.items[0].reason
    assert host.asked == []


async def test_other_endings_if_told(server: StandInServer, host: FileHost) -> None:
    """An ending that the server does not list is fetched if the caller says so."""
    await provide(server, plan(model(host.url(), name="model.PTH")), extensions=[".pth"])

    assert (server.models / "checkpoints" / "model.PTH").read_bytes() == CONTENT


@pytest.mark.parametrize(("kind", "folder"), [("unet", "diffusion_models"), ("diffusion_models", "diffusion_models")])
async def test_the_folder_of_a_kind(server: StandInServer, host: FileHost, kind: str, folder: str) -> None:
    """A former name of a kind means the present one, and its folder is the one with that name."""
    await provide(server, plan(model(host.url(), folder=kind)))

    assert (server.models / folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["custom_nodes", "configs", "", "nonsense"])
async def test_kinds_that_are_no_models(server: StandInServer, host: FileHost, kind: str) -> None:
    """Nothing is put where ComfyUI loads code from, or where no models belong."""
    report = await provide(server, plan(model(host.url(), folder=kind, name="evil.pt")))

    assert [item.outcome for item in report.items] == ["impossible"]


async def test_a_folder_that_leads_elsewhere(server: StandInServer, host: FileHost, tmp_path: Path) -> None:
    """A subfolder that is a link out of the folder of models is not followed."""
    (server.models / "checkpoints" / "out").symlink_to(tmp_path)

    with pytest.raises(ProvideError, match="symbolic link") as caught:
        await provide(server, plan(model(host.url(), name="out/model.safetensors")))

    assert isinstance(caught.value.failures[0], DownloadError)
    assert "extra_model_paths" in caught.value.failures[0].remedy
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "ftp://x/y", "data:,x", "//x/y", "x", "", "http://", "https://me:secret@x/y", "http://[::1"],
)
def test_addresses_that_are_not_fetched(address: str) -> None:
    """Only http and https, without credentials, which the error does not show."""
    with pytest.raises(DownloadError) as caught:
        checked_url(address, NAME)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("part", ["blob", "raw"])
def test_the_page_of_a_file(part: str) -> None:
    """The page of Hugging Face that shows a file, or its pointer, becomes the address of the file."""
    page = f"https://huggingface.co/a/b/{part}/main/x%20y/model.safetensors?download=true#top"

    assert str(checked_url(page, NAME)) == page.replace(part, "resolve").partition("#")[0]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.0.0.1", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("::1", False), ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False), ("64:ff9b::101:101", True), ("2002:7f00:1::", False), ("224.0.0.1", False),
        ("nonsense", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, expected: bool) -> None:
    """Addresses of this machine, of its network and of its cloud are not public, however they are written."""
    assert is_public(address) is expected


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433"])
async def test_private_addresses(host: FileHost, server: StandInServer, name: str) -> None:
    """A workflow cannot have this machine ask its own network, however it writes the address."""
    with pytest.raises(ProvideError, match="private network|not a canonical"):
        await provide(server, plan(model(host.url(host=name))), allow_private=False)

    assert host.asked == []


async def test_the_token_goes_to_its_host(host: FileHost, server: StandInServer) -> None:
    """Also after a redirect within the host, and no further: another port is another host."""
    async with FileHost(CONTENT) as other:
        host.script.extend([redirect("/elsewhere"), redirect(other.url("/signed?x=1"))])

        await provide(server, plan(model(host.url())), tokens={"127.0.0.1": SECRET})

        assert [asked.headers.get("authorization") for asked in host.asked] == [f"Bearer {SECRET}"] * 2
        assert [asked.headers.get("authorization") for asked in other.asked] == [None]


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://huggingface.co/x", {"HF_TOKEN": "t"}, "t"),
        ("https://HUGGINGFACE.co/x", {"HF_TOKEN": " t\n"}, "t"),
        ("http://huggingface.co/x", {"HF_TOKEN": "t"}, None),
        ("https://huggingface.co.evil.example/x", {"HF_TOKEN": "t"}, None),
        ("https://civitai.com/x", {"CIVITAI_API_TOKEN": "c", "HF_TOKEN": "t"}, "c"),
        ("https://models.example.com/x", {"DOWNLOAD_TOKEN_MODELS_EXAMPLE_COM": "m"}, "m"),
        ("https://models-example.com/x", {"DOWNLOAD_TOKEN_MODELS_EXAMPLE_COM": "m"}, None),
        ("https://models-example.com/x", {"DOWNLOAD_TOKEN_MODELS__EXAMPLE_COM": "m"}, "m"),
        ("https://models.example.com/x", {"DOWNLOAD_TOKEN_MODELS_EXAMPLE_COM": "bad\r\nX: y"}, None),
        ("https://example.com/x", {}, None),
    ],
)
async def test_tokens_of_the_environment(url: str, environ: dict[str, str], expected: str | None) -> None:
    """Each host gets its own token, over connections that nobody can read."""
    assert await HostTokens({}, environ).for_url(URL(url)) == expected


def test_no_two_hosts_share_a_variable() -> None:
    """Otherwise the owner of one could have the token of the other."""
    hosts = ["a.b.c", "a-b.c", "a--b.c", "a.b-c", "a-b-c", "ab.c", "a", "a.b"]

    assert len({variable_of(host) for host in hosts}) == len(hosts)
    assert [variable_of(host) for host in ("a_b.c", "a..b", "a-.b", "a.-b", "-a.b", "", "ä.b")] == [None] * 7


async def test_tokens_are_in_no_text(host: FileHost, server: StandInServer, caplog: pytest.LogCaptureFixture) -> None:
    """No log at any level, no error and no repr shows the token or the query of an address."""
    caplog.set_level(logging.DEBUG)
    host.script.append(status("403 Forbidden"))
    tokens = {"127.0.0.1": SECRET}

    with pytest.raises(ProvideError) as caught:
        await provide(server, plan(model(host.url("/x?sig=hidden"))), tokens=tokens)

    error = caught.value
    shown = f"{error} {error!r} {error.failures!r} {caplog.text} {HostTokens(tokens, {})!r} {error.report.to_json()}"
    assert SECRET not in shown
    assert "owner of the token" in shown
    assert "hidden" not in str(error)


async def test_lacks_that_nothing_can_fetch(host: FileHost, server: StandInServer) -> None:
    """Wrong values and other problems of the plan are in the report, which is not complete; those that end are not."""
    value = ValueNeed(input="3.steps", value=-1, problem="-1 is outside of 1 to 10000", nearest=1)
    needed = replace(plan(model(host.url())), name="a.json", values=(value,), problems=("it has no output",))

    shown = await provide(server, needed, dry_run=True)
    unchanged = await provide(server, replace(needed, models=()))
    server.new = replace(needed, problems=())
    report = await provide(server, needed)

    told = "impossible: node 3.steps: -1 is outside of 1 to 10000; nearest: 1"
    for each in (shown, unchanged):
        assert told in str(each)
        assert "impossible: a.json: it has no output" in str(each)
    assert "node 3.steps" in str(shown.proposal)
    assert [item.outcome for item in report.items] == ["fetched", "impossible"]
    assert told in str(report)
    assert not report.is_complete
    assert not unchanged.is_complete


async def test_an_attached_server(host: FileHost, tmp_path: Path) -> None:
    """Its folders are on another machine, as far as we know, so it is said what cannot be done, and what can."""
    server = StandInServer(tmp_path, is_ours=False)

    report = await provide(server, plan(model(host.url())))

    assert [item.outcome for item in report.items] == ["impossible"]
    assert "models_directory" in report.items[0].reason
    await provide(server, plan(model(host.url())), models_directory=server.models)
    assert (server.models / "checkpoints" / NAME).read_bytes() == CONTENT


async def test_the_wrong_folder_of_models(host: FileHost, tmp_path: Path) -> None:
    """If the server does not find the file where it was put, that is an error."""
    server = StandInServer(tmp_path / "server", is_ours=False)
    (tmp_path / "other").mkdir()

    with pytest.raises(ProvideError, match="does not list it"):
        await provide(server, plan(model(host.url())), models_directory=tmp_path / "other")


async def test_the_same_file_twice(host: FileHost, server: StandInServer) -> None:
    """Two nodes that name one model fetch it once."""
    report = await provide(server, plan(model(host.url()), model(host.url(), inputs=("2.ckpt_name",))))

    assert len(report.items) == len(host.asked) == 1


@pytest.mark.parametrize("option", [{"parallel": 0}, {"reserve": -1}, {"timeout": 0}, {"timeout": float("nan")}])
async def test_options_that_make_no_sense(server: StandInServer, option: dict[str, Any]) -> None:
    """Each names itself."""
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        await provide(server, plan(), **option)


async def test_a_function_for_progress_that_raises(
    host: FileHost, server: StandInServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the downloads go on."""
    from discomfort.provision.provider import ProvideOptions, Provider

    def broken(event: object) -> None:
        raise RuntimeError("mine")

    options = ProvideOptions(allow_private=True, reserve=0)
    report = await Provider(server, plan(model(host.url())), options, broken, {}).run(
        yes=True, consent=None, dry_run=False
    )

    assert report.is_complete
    assert caplog.text.count("on_progress raised") == 1
