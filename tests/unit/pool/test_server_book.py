"""The book of what each server holds, what is learnt, and how little is remembered."""

from __future__ import annotations

import pytest
from unit.pool.pool_facts import GB, Pool, model, run

from discomfort.pool import known_sets


def test_the_longest_unused_model_is_pushed_out() -> None:
    """By the size of the card."""
    pool = Pool(1, vram=24, sizes={"a": 10, "b": 10, "c": 10})
    for name in ("a", "b", "a", "c"):
        pool.hold("s0", name)
    assert pool.held("s0") == ["a", "c"]


def test_a_set_that_is_too_large_is_held_all_the_same() -> None:
    """ComfyUI loads it in parts; everything else goes."""
    pool = Pool(1, vram=24, sizes={"a": 10, "b": 20, "c": 20})
    pool.hold("s0", "a")
    pool.hold("s0", "b", "c")
    assert sorted(pool.held("s0")) == ["b", "c"]


def test_unknown_vram_counts_as_24_gb() -> None:
    """A server that does not tell."""
    pool = Pool(1, vram=0, sizes={"a": 12, "b": 12, "c": 1})
    pool.hold("s0", "a")
    pool.hold("s0", "b")
    assert pool.held("s0") == ["a", "b"]
    pool.hold("s0", "c")
    assert pool.held("s0") == ["b", "c"]


def test_a_server_that_keeps_the_last_run_only() -> None:
    """Though there is room for more."""
    pool = Pool(sizes={"a": 1, "b": 1})
    pool.add("s0", keeps_last_only=True)
    pool.hold("s0", "a")
    pool.hold("s0", "b")
    assert pool.held("s0") == ["b"]
    pool.hold("s0", "a", "b")
    assert sorted(pool.held("s0")) == ["a", "b"]


def test_what_is_forgotten_is_loaded_again() -> None:
    """After a restart, a free, or out of memory; also while a run is there."""
    pool = Pool(1)
    pool.hold("s0", "a")
    pool.scheduler.forget("s0")
    [begun] = pool.begin(run("a"))
    assert begun.loads == {model("a")}
    pool.scheduler.forget("s0")
    assert pool.held("s0") == []
    pool.finish("s0")
    [begun] = pool.begin(run("a"))
    assert begun.loads == {model("a")}


def test_the_servers_own_figure_corrects_the_book() -> None:
    """Used memory clearly below the book means that the oldest are gone. A context of CUDA is no model."""
    pool = Pool(1, vram=48, sizes={"a": 10, "b": 10, "c": 10})
    pool.scheduler.check("s0", 2 * GB)
    for name in "abc":
        pool.hold("s0", name)
    pool.scheduler.check("s0", 31 * GB)
    assert pool.held("s0") == ["a", "b", "c"]
    pool.scheduler.check("s0", 22 * GB)
    assert pool.held("s0") == ["b", "c"]
    pool.scheduler.check("s0", 2 * GB)
    assert pool.held("s0") == []
    [begun] = pool.begin(run("c"))
    assert begun.loads == {model("c")}


def test_the_figure_of_a_busy_server_says_nothing() -> None:
    """Its models may still be on the way."""
    pool = Pool(1, sizes={"a": 10})
    pool.decide(run("a"))
    pool.scheduler.check("s0", 0)
    assert pool.held("s0") == ["a"]


def test_a_size_that_is_learnt_later_counts() -> None:
    """What no longer has room is pushed out, the last run's models excepted."""
    pool = Pool(1, vram=24, unknown_size=GB)
    pool.hold("s0", "a")
    pool.hold("s0", "b")
    pool.scheduler.learn_size(model("a"), 20 * GB)
    assert pool.scheduler.held_by("s0") == {model("a"): 20 * GB, model("b"): GB}
    pool.scheduler.learn_size(model("b"), 30 * GB)
    assert pool.scheduler.held_by("s0") == {model("b"): 30 * GB}


def test_the_largest_model_is_found_again_when_sizes_are_learnt() -> None:
    """The set was known before its sizes were."""
    pool = Pool(3, unknown_size=GB)
    pool.hold("s0", "aa", "zz")
    pool.scheduler.learn_size(model("aa"), 12 * GB)
    pool.hold("s1", "aa")
    pool.hold("s2", "zz")
    pool.scheduler.drain("s0")
    assert pool.decide(run("aa", "zz", id="x")) == {"x": "s1"}


def test_what_a_load_is_expected_to_take() -> None:
    """By size; what is not known by the assumed one."""
    pool = Pool(sizes={"a": 10}, unknown_size=4 * GB)
    assert pool.scheduler.expected_load(frozenset({model("a")})) == pytest.approx(12.0)
    assert pool.scheduler.expected_load(frozenset({model("a"), model("b")})) == pytest.approx(18.0)


def test_what_loads_take_is_learnt() -> None:
    """A slow disk: 5 s for each GB instead of one."""
    pool = Pool(1, vram=12, sizes={"a": 10, "b": 10})
    for number in range(400):
        pool.begin(run("ab"[number % 2], seconds=10.0))
        pool.finish("s0", seconds=10.0 + 2.0 + 50.0)
    assert pool.scheduler.expected_load(frozenset({model("a")})) == pytest.approx(52.0, rel=0.1)


def test_what_runs_take_is_learnt_by_kind() -> None:
    """From warm runs of the same skeleton; errors tell nothing."""
    pool = Pool(1, sizes={"a": 10})
    pool.hold("s0", "a")
    for skeleton, seconds in (("short", 3.0), ("long", 90.0), ("short", None), ("long", None)):
        pool.begin(run("a", skeleton=skeleton))
        pool.finish("s0", seconds=seconds)
    pool.begin(run("a"))
    for skeleton, seconds in (("short", 3.0), ("long", 90.0)):
        request = run("a", skeleton=skeleton)
        pool.submit(request)
        assert pool.scheduler._room.runs[request.id].seconds == seconds


def test_a_new_lora_in_each_run_leaves_little_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets, models and sizes stay bounded; what is held and wanted stays known."""
    monkeypatch.setattr(known_sets, "SPARE", 20)
    monkeypatch.setattr(known_sets, "MODELS", 200)
    pool = Pool(2, sizes={"base": 10})
    for number in range(1000):
        name = f"lora{number}"
        pool.scheduler.learn_size(model(name), GB // 2)
        [begun] = pool.begin(run("base", name, seconds=1.0))
        pool.finish(begun.server, seconds=1.0)
    known = pool.scheduler._book.known
    assert len(known) < 50
    assert known.model_count <= 200
    assert len(known._sizes) <= 200
    assert all(len(server.sets) < 50 for server in pool.scheduler._book.servers.values())
    assert "base" in pool.held("s0")


def test_nothing_of_what_has_left_fills_the_queues() -> None:
    """One run waits for ever; thousands come and go."""
    pool = Pool(1)
    pool.decide(run())
    pool.submit(run("a", id="stays", priority=9))
    for number in range(5000):
        pool.submit(run("a", id=f"x{number}"))
        pool.scheduler.cancel(f"x{number}")
    room = pool.scheduler._room
    [lane] = [lane for lanes in room.lanes.values() for lane in lanes.values()]
    heaps = [*lane.queue._heaps.values(), *lane.needs.all._heaps.values(), room._ages, room._bounds]
    assert max(map(len, heaps)) < 200


def test_what_a_server_uses_without_a_model_is_no_model() -> None:
    """It was seen to use 10 GB while it held nothing; of 18 GB only 8 can be models."""
    pool = Pool(1, vram=48, sizes={"a": 10, "b": 10})
    pool.scheduler.check("s0", 10 * GB)
    pool.hold("s0", "a")
    pool.hold("s0", "b")
    pool.scheduler.check("s0", 18 * GB)
    assert pool.held("s0") == []
