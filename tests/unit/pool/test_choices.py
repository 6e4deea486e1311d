"""The rules by which a run gets its server: what is held, what a load costs, and how long a run waits for it."""

from __future__ import annotations

import pytest
from unit.pool.pool_facts import GB, Pool, model, needs, run

from discomfort.pool.run_requests import ModelFile


def test_a_run_goes_where_its_models_are() -> None:
    """Although a server that holds nothing is idle."""
    pool = Pool(3)
    pool.hold("s2", "a")
    [begun] = pool.begin(run("a"))
    assert begun.server == "s2"
    assert begun.loads == frozenset()


def test_models_that_nobody_holds_are_loaded_at_once_on_an_empty_server() -> None:
    """There is nobody to wait for."""
    pool = Pool(2)
    pool.hold("s0", "a")
    [begun] = pool.begin(run("b"))
    assert begun.server == "s1"
    assert begun.loads == {model("b")}


def test_a_run_waits_for_the_holder_while_a_load_costs_more() -> None:
    """All servers but one are busy, so a load counts fully: 14 s, and what it pushes out; the holder needs 10."""
    pool = Pool(10, sizes={"a": 12, "b": 20})
    pool.hold("s9", "b")
    for number in range(9):
        pool.occupy(f"s{number}", "a")
    assert pool.decide(run("a", id="waits", seconds=10.0)) == {}
    pool.now = 5.0
    assert pool.decide() == {}
    pool.finish("s0")
    assert pool.decide() == {"waits": "s0"}


def test_a_load_is_worth_it_once_the_run_has_waited_as_long() -> None:
    """The same; nobody finishes. ``next_check`` leads there without an event."""
    pool = Pool(10, sizes={"a": 12, "b": 20})
    pool.hold("s9", "b")
    for number in range(9):
        pool.occupy(f"s{number}", "a")
    assert pool.decide(run("a", id="waits", seconds=10.0)) == {}
    begun: dict[str, str] = {}
    while not begun:
        at = pool.scheduler.next_check(pool.now)
        assert at is not None
        assert pool.now < at <= pool.now + 2.25
        pool.now = at
        begun = pool.decide()
    assert begun == {"waits": "s9"}
    assert 10 < pool.now < 40


def test_what_is_pushed_out_is_what_others_hold_too() -> None:
    """Of two servers with equal models in size, the one whose model has another holder."""
    pool = Pool(3, sizes={"a": 20, "b": 20, "c": 20})
    for server, name in (("s0", "b"), ("s1", "a"), ("s2", "b")):
        pool.hold(server, name)
    [begun] = pool.begin(run("c"))
    assert begun.server in {"s0", "s2"}


def test_what_nobody_wants_any_more_costs_nothing_to_push_out() -> None:
    """``a`` was last asked for long ago, ``b`` just now."""
    pool = Pool(2, sizes={"a": 20, "b": 20, "c": 20})
    pool.hold("s0", "a")
    pool.now = 10_000.0
    pool.hold("s1", "b")
    assert pool.decide(run("c", id="c", at=pool.now)) == {"c": "s0"}


def test_the_rest_of_a_set_is_loaded_where_the_largest_model_is() -> None:
    """A run with a new LoRA goes to the server with its checkpoint, not to an empty one."""
    pool = Pool(3, sizes={"big": 12, "lora": 0.2})
    pool.hold("s1", "big")
    [begun] = pool.begin(run("big", "lora"))
    assert begun.server == "s1"
    assert begun.loads == {model("lora")}


def test_a_new_lora_waits_for_a_holder_of_its_checkpoint() -> None:
    """Rather than loading the checkpoint once more: a holder is free sooner."""
    pool = Pool(20, sizes={"big": 20, "other": 20, "lora": 0.2})
    pool.hold("s19", "other")
    for number in range(19):
        pool.occupy(f"s{number}", "big")
    assert pool.decide(run("big", "lora", id="waits", seconds=5.0)) == {}
    pool.finish("s3")
    assert pool.decide() == {"waits": "s3"}


def test_a_run_that_waited_too_long_goes_before_one_that_needs_no_load() -> None:
    """Whatever is to be loaded, and although younger runs have their models there."""
    pool = Pool(1, sizes={"a": 20, "b": 20}, max_wait=30.0)
    pool.hold("s0", "a")
    pool.decide(run("a"))
    pool.submit(run("b", id="old"))
    pool.now = 29.0
    pool.submit(run("a", id="young", at=29.0))
    pool.now = 31.0
    pool.finish("s0")
    assert pool.decide() == {"old": "s0"}


def test_a_run_is_not_kept_waiting_longer_than_its_load_takes() -> None:
    """Long before ``max_wait``: else a model that few want waits while servers serve the younger runs of others."""
    pool = Pool(1, sizes={"a": 4, "b": 4}, patience=0.0, max_wait=1000.0)
    pool.hold("s0", "a")
    pool.decide(run("a"))
    pool.submit(run("b", id="old", at=0.0))
    pool.now = 20.0
    pool.submit(run("a", id="young", at=20.0))
    pool.finish("s0")
    assert pool.decide() == {"old": "s0"}


def test_where_many_waited_too_long_those_without_a_load_go_first() -> None:
    """Until another is older by ``patience`` times what its load takes: 10 x 22 s."""
    pool = Pool(1, sizes={"a": 20, "b": 20}, max_wait=30.0, patience=10.0)
    pool.hold("s0", "a")
    pool.decide(run("a"))
    pool.submit(run("b", id="cold"), run("a", id="warm", at=100.0), run("a", id="late warm", at=250.0))
    pool.now = 600.0
    pool.finish("s0")
    assert pool.decide() == {"warm": "s0"}
    pool.finish("s0")
    assert pool.decide() == {"cold": "s0"}


def test_more_late_runs_than_the_pool_can_serve_at_once_do_not_make_it_load_all_the_time() -> None:
    """The bound cannot hold for all. The runs whose models are there go on, though they waited less."""
    pool = Pool(1, sizes=dict.fromkeys("abcd", 20), max_wait=30.0)
    pool.hold("s0", "a")
    pool.decide(run("a"))
    pool.submit(run("b"), run("c"), run("d"))
    pool.now = 31.0
    pool.submit(run("a", id="warm", at=20.0))
    pool.finish("s0")
    assert pool.decide() == {"warm": "s0"}


def test_a_server_whose_last_run_had_the_same_skeleton_is_preferred() -> None:
    """ComfyUI keeps what the nodes of the last prompt gave."""
    pool = Pool(4)
    for number in range(4):
        pool.occupy(f"s{number}", "a", skeleton=f"k{number}")
    pool.finish("s0", "s1", "s2", "s3")
    for number in (2, 0, 3):
        assert pool.decide(run("a", skeleton=f"k{number}", id="again")) == {"again": f"s{number}"}


def test_servers_that_hold_more_are_kept_for_others() -> None:
    """Of two holders the one with fewer models serves first."""
    pool = Pool(2, vram=48, sizes={"a": 10, "b": 10})
    pool.hold("s0", "a", "b")
    pool.hold("s1", "a")
    assert pool.decide(run("a", id="a")) == {"a": "s1"}


def test_only_servers_that_fit() -> None:
    """By labels, VRAM, definitions; a busy one that fits is waited for."""
    pool = Pool()
    pool.add("small", vram=8, labels=(("gpu", "t4"),))
    pool.add("large", vram=80, labels=(("gpu", "a100"),), definitions="d1")
    assert pool.decide(run(id="gpu", requirement=needs(labels={"gpu": "a100|h100"}))) == {"gpu": "large"}
    assert pool.decide(run(id="vram", requirement=needs(vram=40 * GB))) == {}
    pool.finish("large")
    assert pool.decide() == {"vram": "large"}
    pool.finish("large")
    assert pool.decide(run(id="not", requirement=needs(labels={"gpu": "!a100"}))) == {"not": "small"}
    assert pool.decide(run(id="defined", requirement=needs(definitions=frozenset({"d1"})))) == {"defined": "large"}


def test_a_changed_class_counts_at_once() -> None:
    """In both directions."""
    pool = Pool(1)
    request = run(id="needs", requirement=needs(labels={"gpu": "h100"}))
    assert pool.decide(request) == {}
    server_class = pool.scheduler._book.servers["s0"].group.server_class
    pool.scheduler.change_class("s0", type(server_class)(labels=(("gpu", "h100"),)))
    assert pool.decide() == {"needs": "s0"}


def test_why_no_server_fits() -> None:
    """Each server with all its reasons; nothing as soon as one fits, though it is busy."""
    pool = Pool()
    pool.add("t4", vram=16, labels=(("gpu", "t4"),))
    pool.add("bad", vram=80)
    request = run(requirement=needs(vram=40 * GB, labels={"gpu": "!h100"}), avoided=frozenset({"bad"}))
    misfits = pool.scheduler.misfits(request)
    assert set(misfits) == {"t4", "bad"}
    assert "VRAM" in misfits["t4"][0]
    assert "avoided" in misfits["bad"][0]
    pool.add("good", vram=80)
    pool.decide(run(avoided=frozenset({"t4", "bad"})))
    assert pool.scheduler.misfits(request) == {}


def test_never_a_server_that_it_avoids() -> None:
    """Though the others are busy, and it holds the models."""
    pool = Pool(2)
    pool.hold("s0", "a")
    assert pool.decide(run("a", id="first", avoided=frozenset({"s0"}))) == {"first": "s1"}
    assert pool.decide(run("a", id="second", avoided=frozenset({"s0"}))) == {}
    pool.finish("s1")
    assert pool.decide() == {"second": "s1"}


def test_a_draining_server_gets_nothing_until_it_is_resumed() -> None:
    """Its run may end meanwhile, and what it holds is not waited for."""
    pool = Pool(2, sizes={"a": 20})
    pool.hold("s0", "a")
    pool.decide(run("a", id="running"))
    pool.scheduler.drain("s0")
    assert pool.decide(run("a", id="elsewhere")) == {"elsewhere": "s1"}
    pool.finish("s0")
    assert pool.decide(run("a", id="waits")) == {}
    pool.scheduler.resume("s0")
    [begun] = pool.begin()
    assert (begun.server, begun.loads) == ("s0", frozenset())


def test_a_removed_server_is_not_waited_for() -> None:
    """The run that was there is submitted again by the caller, and goes elsewhere."""
    pool = Pool(2, sizes={"a": 20})
    pool.hold("s0", "a")
    first = run("a", id="again")
    assert pool.decide(first) == {"again": "s0"}
    pool.scheduler.remove_server("s0")
    assert pool.decide(first) == {"again": "s1"}


def test_wiped_between_two_tenants() -> None:
    """With ``in-turn`` a server holds nothing for another tenant, who prefers one that nobody used."""
    pool = Pool(2, share="in-turn")
    pool.hold("s0", "a", tenant="x")
    [other] = pool.begin(run("a", tenant="y"))
    assert (other.server, other.wipe, other.loads) == ("s1", False, {model("a")})
    [same] = pool.begin(run("a", tenant="x"))
    assert (same.server, same.wipe, same.loads) == ("s0", False, frozenset())
    pool.finish("s0")
    [next_one] = pool.begin(run("a", tenant="y"))
    assert (next_one.server, next_one.wipe, next_one.loads) == ("s0", True, {model("a")})


def test_shared_by_all_is_never_wiped() -> None:
    """And what one tenant loaded is there for the other."""
    pool = Pool(1)
    pool.hold("s0", "a", tenant="x")
    [begun] = pool.begin(run("a", tenant="y"))
    assert (begun.wipe, begun.loads) == (False, frozenset())


def test_a_server_belongs_to_its_first_tenant() -> None:
    """With ``never`` the other waits, and learns why nothing fits."""
    pool = Pool(1, share="never")
    pool.hold("s0", "a", tenant="x")
    other = run("a", tenant="y", id="y")
    assert pool.decide(other) == {}
    assert "another tenant" in pool.scheduler.misfits(other)["s0"][0]
    pool.scheduler.forget("s0")
    assert pool.decide() == {}
    assert pool.decide(run(tenant="x", id="x")) == {"x": "s0"}
    pool.add("s1")
    assert pool.decide() == {"y": "s1"}


def test_runs_without_models_go_to_any_idle_server() -> None:
    """One after another, with nothing to load."""
    pool = Pool(2)
    pool.hold("s0", "a")
    begun = pool.begin(run(), run(), run())
    assert {one.server for one in begun} == {"s0", "s1"}
    assert not any(one.loads for one in begun)
    assert pool.scheduler.waiting == 1


def test_an_id_waits_once() -> None:
    """The second is refused by its name; after a cancel, or a begin, it may wait again."""
    pool = Pool(1)
    pool.decide(run())
    request = run(id="x")
    pool.submit(request)
    with pytest.raises(ValueError, match="'x' waits already"):
        pool.submit(request)
    assert pool.scheduler.cancel("x")
    assert not pool.scheduler.cancel("x")
    pool.submit(request)
    pool.finish("s0")
    assert pool.decide() == {"x": "s0"}
    assert not pool.scheduler.cancel("x")


def test_a_server_has_a_name_of_its_own() -> None:
    """The second of a name is refused."""
    pool = Pool(1)
    with pytest.raises(ValueError, match="'s0'"):
        pool.add("s0")


def test_nothing_to_check_without_an_idle_server_that_fits() -> None:
    """An event must come first. With one, a run that waits has a time."""
    pool = Pool(1)
    assert pool.scheduler.next_check(0.0) is None
    pool.submit(run(requirement=needs(labels={"gpu": "h100"})))
    pool.decide()
    assert pool.scheduler.next_check(0.0) is None
    pool.decide(run())
    pool.submit(run())
    pool.decide()
    assert pool.scheduler.next_check(0.0) is None


def test_other_folders_are_other_models() -> None:
    """Names alone do not make a model."""
    pool = Pool(2)
    pool.hold("s0", "a")
    request = run()
    lora = type(request)("lora", 0.0, models=frozenset({ModelFile("loras", "a")}))
    [begun] = pool.begin(lora)
    assert begun.loads == {ModelFile("loras", "a")}
