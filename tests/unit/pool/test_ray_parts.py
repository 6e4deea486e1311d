"""Parts of a pool on a cluster that need none: options, leases, files, and machines that are avoided."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import yaml

from discomfort.exceptions import ArgumentError
from discomfort.pool.actor_ends import AvoidedNodes
from discomfort.pool.file_shelf import FileShelf
from discomfort.pool.lease import CHECKS, Lease, surely_over
from discomfort.pool.ray_options import RayOptions, selector_of, wanted_servers

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"servers": 0}, "servers"),
        ({"servers": (3, 2)}, "servers"),
        ({"servers": (-1, 2)}, "servers"),
        ({"servers": True}, "servers"),
        ({"servers": "2"}, "servers"),
        ({"spare": -1}, "spare"),
        ({"gpus": -0.5}, "gpus"),
        ({"cpus": "1"}, "cpus"),
        ({"lease": 0}, "lease"),
        ({"machines": "a100"}, "machines"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], argument: str) -> None:
    """Each by its own argument, before anything is done."""
    with pytest.raises(ArgumentError, match=argument):
        RayOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "selector"),
    [("a100", "in(a100)"), ("a100|h100", "in(a100,h100)"), ("!spot", "!in(spot)"), ("!t4|l4", "!in(t4,l4)")],
)
def test_labels_in_the_words_of_ray(wanted: str, selector: str) -> None:
    """A pool's runs and machines speak of labels alike."""
    assert selector_of(wanted) == selector


def test_an_actor_asks_for_what_the_options_say() -> None:
    """Machines to avoid are avoided where others have room."""
    options = RayOptions(gpus=0.5, cpus=2, machines={"gpu": "l4"}, resources={"disk": 1})

    plain = options.placing(frozenset(), "node")
    careful = options.placing(frozenset({"b", "a"}), "node")

    assert plain == {
        "num_cpus": 2, "num_gpus": 0.5, "resources": {"disk": 1}, "label_selector": {"gpu": "in(l4)"},
    }  # fmt: skip
    assert careful["label_selector"] == {"gpu": "in(l4)", "node": "!in(a,b)"}
    assert careful["fallback_strategy"] == [{"label_selector": {"gpu": "in(l4)"}}]
    assert options.bundle == {"CPU": 2, "GPU": 0.5, "disk": 1}


def test_the_number_of_servers_follows_the_runs() -> None:
    """Those with runs, one for each run that waits, and the spare ones; within the bounds."""
    options = RayOptions(servers=(1, 8), spare=2)

    assert wanted_servers(options, busy=0, waiting=0) == 2
    assert wanted_servers(options, busy=3, waiting=1) == 6
    assert wanted_servers(options, busy=3, waiting=100) == 8
    assert wanted_servers(RayOptions(servers=(0, 8)), busy=0, waiting=0) == 0
    assert wanted_servers(RayOptions(servers=4), busy=0, waiting=0) == 4


def test_a_lease_that_is_not_renewed_is_over() -> None:
    """It ends in a thread of its own, once."""
    ended: list[str] = []
    over = threading.Event()

    def expire() -> None:
        ended.append(threading.current_thread().name)
        over.set()

    Lease(0.02, expire).begin()

    assert over.wait(60)
    assert ended == ["discomfort-lease"]


def test_a_lease_lasts_while_it_is_renewed() -> None:
    """Many times longer than without."""
    over = threading.Event()
    lease = Lease(3600.0, over.set)
    lease._seconds = 0.02
    lease.begin()
    lease._seconds = 3600.0
    lease.renew()

    assert not over.wait(0.1)

    lease.end()


def test_the_end_of_a_lease_is_certain_after_all_its_looks() -> None:
    """The holder looks at it several times, and each look may come late by one interval."""
    assert surely_over(100.0, 8.0) >= 100.0 + 8.0 + 8.0 / CHECKS


def test_files_are_put_once_by_their_content(tmp_path: Path) -> None:
    """Wherever they come from; those that were used first are dropped when there is no more room."""
    put: list[bytes] = []
    (tmp_path / "a").write_bytes(b"aaaa")

    def keep(content: bytes) -> int:
        put.append(content)
        return len(put)

    shelf = FileShelf(keep, most=10)

    assert shelf._of(b"aaaa") == shelf._of((tmp_path / "a").read_bytes()) == 1
    assert shelf._of(b"bbbb") == 2
    assert shelf._of(b"aaaa") == 1
    assert shelf._of(b"cccc") == 3
    assert shelf._of(b"bbbb") == 4
    assert put == [b"aaaa", b"bbbb", b"cccc", b"bbbb"]


def test_machines_are_avoided_for_a_while() -> None:
    """Those that were lost, and those on which an actor died soon; not that of one that was killed later."""
    avoided = AvoidedNodes()
    avoided.note_end("lost", is_certain=False, seconds=1000.0)
    avoided.note_end("fresh", is_certain=True, seconds=1.0)
    avoided.note_end("old", is_certain=True, seconds=1000.0)
    avoided.note("")

    assert avoided.now() == {"lost", "fresh"}
    avoided._until = dict.fromkeys(avoided._until, time.monotonic() - 1)
    assert avoided.now() == frozenset()


def test_the_manifest_is_one_of_a_cluster() -> None:
    """It can be read, its fields are KubeRay's, and what the guide says about it holds."""
    (manifest,) = yaml.safe_load_all((ROOT / "examples" / "kuberay.yaml").read_text())

    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    spec = manifest["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["authOptions"] == {"mode": "token"}
    (group,) = spec["workerGroupSpecs"]
    assert (group["minReplicas"], group["replicas"]) == (0, 0)
    (worker,) = group["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert head["image"] == worker["image"]
    assert {each["name"] for each in head["env"]} == {
        *(f"RAY_health_check_{name}_ms" for name in ("period", "timeout", "initial_delay")),
        "RAY_health_check_failure_threshold",
    }
