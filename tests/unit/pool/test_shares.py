"""Fair shares of tenants, priorities within a tenant, and what a waiting run can expect."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.pool.pool_facts import Pool, needs, run


def begin_all(pool: Pool, servers: int, seconds: float) -> list[str]:
    """Lets runs of equal length come and go until none waits. Returns the tenants in the order of their starts."""
    order = [begun.request.tenant for begun in pool.begin()]
    while pool.scheduler.waiting:
        pool.now += seconds
        pool.finish(*(f"s{number}" for number in range(servers)), seconds=seconds)
        order += [begun.request.tenant for begun in pool.begin()]
    return order


def test_a_greedy_tenant_does_not_delay_another() -> None:
    """A hundred runs wait; the other's single one is next."""
    pool = Pool(1)
    pool.decide(*(run(tenant="greedy", id=f"g{number}") for number in range(100)))
    pool.submit(run(tenant="other", id="other", at=1.0))
    pool.finish("s0")
    assert pool.decide() == {"other": "s0"}


def test_work_counts_and_not_runs() -> None:
    """One run of 40 s is as much as four of 10."""
    pool = Pool(1, slack=0.0)
    pool.submit(*(run(tenant="long", seconds=40.0) for _ in range(3)))
    pool.submit(*(run(tenant="short", seconds=10.0) for _ in range(12)))
    order = begin_all(pool, 1, 10.0)
    assert order[:10].count("short") in {7, 8}


def test_what_a_run_really_took_counts() -> None:
    """Both say 10 s; those of one take 40. The other gets four for one."""
    pool = Pool(1)
    pool.submit(*(run(tenant="x", seconds=10.0) for _ in range(30)))
    pool.submit(*(run(tenant="y", seconds=10.0) for _ in range(30)))
    order = []
    [begun] = pool.begin()
    for _ in range(25):
        order.append(begun.request.tenant)
        pool.finish("s0", seconds=40.0 if begun.request.tenant == "x" else 10.0)
        [begun] = pool.begin()
    assert order.count("y") >= 3 * order.count("x")


def test_weights_are_shares() -> None:
    """Twice the weight, twice the runs."""
    pool = Pool(1, weights={"double": 2.0})
    for tenant in ("double", "single"):
        pool.submit(*(run(tenant=tenant, seconds=10.0) for _ in range(20)))
    order = begin_all(pool, 1, 10.0)
    assert order[:15].count("double") == 10


def test_a_tenant_that_comes_later_has_saved_up_nothing() -> None:
    """It takes turns with the one who was alone, from now on."""
    pool = Pool(1)
    pool.submit(*(run(tenant="early", seconds=10.0) for _ in range(60)))
    for _ in range(20):
        pool.decide()
        pool.finish("s0", seconds=10.0)
    pool.submit(*(run(tenant="late", seconds=10.0) for _ in range(20)))
    order = begin_all(pool, 1, 10.0)
    assert order[:20].count("late") in {9, 10, 11}


def test_a_tenant_that_comes_back_has_saved_up_nothing() -> None:
    """It had one run, and paused while the other's queue was never empty."""
    pool = Pool(1)
    pool.submit(run(tenant="back", seconds=10.0), *(run(tenant="stays", seconds=10.0) for _ in range(60)))
    for _ in range(21):
        pool.decide()
        pool.finish("s0", seconds=10.0)
    pool.submit(*(run(tenant="back", seconds=10.0) for _ in range(20)))
    order = begin_all(pool, 1, 10.0)
    assert order[:20].count("back") in {9, 10, 11}


def test_what_is_left_over_goes_to_the_greedy() -> None:
    """The other's run waits for its model's holder; nobody idles meanwhile, though the greedy one had much more."""
    pool = Pool(10, sizes={"a": 20, "b": 20})
    pool.hold("s9", "b", tenant="greedy")
    for number in range(9):
        pool.occupy(f"s{number}", "a", tenant="greedy")
    pool.submit(run("a", tenant="other", id="waits", seconds=5.0))
    assert pool.decide() == {}
    assert pool.decide(run("b", tenant="greedy", id="left over", seconds=5.0)) == {"left over": "s9"}


def test_higher_priorities_go_first_within_a_tenant() -> None:
    """Then the older run. Another tenant's priority counts for nothing."""
    pool = Pool(1)
    pool.decide(run(id="running", tenant="x"))
    pool.submit(
        run(id="low", tenant="x", at=1.0, priority=-1),
        run(id="second", tenant="x", at=3.0),
        run(id="first", tenant="x", at=2.0),
        run(id="high", tenant="x", at=4.0, priority=5),
    )
    order = []
    while pool.scheduler.waiting:
        pool.finish("s0")
        order += pool.decide()
    assert order == ["high", "first", "second", "low"]


def test_a_run_that_waits_again_keeps_its_place() -> None:
    """It is older than what came meanwhile."""
    pool = Pool(1)
    pool.decide(run(id="running"))
    pool.submit(run(id="young", at=5.0))
    pool.now = 6.0
    pool.submit(run(id="again", at=1.0))
    pool.finish("s0")
    assert pool.decide() == {"again": "s0"}


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([1.0, 5.0, 20.0, 60.0]), min_size=2, max_size=2),
    weights=st.lists(st.sampled_from([1.0, 2.0]), min_size=2, max_size=2),
    servers=st.integers(1, 4),
    models=st.integers(1, 3),
)
def test_backlogged_tenants_get_equal_work(
    lengths: list[float], weights: list[float], servers: int, models: int
) -> None:
    """Divided by their weights, what they were charged differs by no more than the slack and a run with its load."""
    names = [f"m{number}" for number in range(models)]
    pool = Pool(servers, sizes=dict.fromkeys(names, 10), weights=dict(zip("xy", weights, strict=True)))
    for tenant, seconds in zip("xy", lengths, strict=True):
        pool.submit(*(run(names[number % models], tenant=tenant, seconds=seconds, at=number) for number in range(300)))
    ends: dict[str, float] = {}
    work = {"x": 0.0, "y": 0.0}
    for _ in range(120):
        for begun in pool.begin():
            took = (begun.request.seconds or 0.0) + pool.scheduler.expected_load(begun.loads)
            work[begun.request.tenant] += took / pool.scheduler.policy.weights[begun.request.tenant]
            ends[begun.server] = pool.now + took
            if all(work.values()):
                assert abs(work["x"] - work["y"]) <= 30.0 + max(lengths) + 12.0 + 1e-6
        server = min(ends, key=lambda name: ends[name])
        pool.now = ends.pop(server)
        pool.finish(server)
    assert all(work.values())


def test_the_outlook_counts_those_who_go_before() -> None:
    """Of the tenant itself by order; of others as many as their share allows; in seconds by the servers there are."""
    pool = Pool(2)
    pool.decide(*(run(tenant="x", seconds=10.0) for _ in range(2)))
    pool.submit(*(run(tenant="x", id=f"x{number}", at=number, seconds=10.0) for number in range(10)))
    pool.submit(run(tenant="y", id="y", at=20.0, seconds=10.0))
    outlook = pool.scheduler.outlook("x4", 0.0)
    assert outlook.position in {4, 5}
    assert outlook.about == pytest.approx((outlook.position + 1) * 10 / 2)
    assert outlook.reason == "all 2 servers that fit are busy"
    assert pool.scheduler.outlook("y", 0.0).position == 0
    pool.scheduler.cancel("x0")
    assert pool.scheduler.outlook("x4", 0.0).position == outlook.position - 1


def test_the_outlook_says_why() -> None:
    """No server fits; the only one is busy; or the models are elsewhere."""
    pool = Pool(20, sizes={"a": 20, "b": 20})
    pool.submit(run(id="misfit", requirement=needs(labels={"gpu": "h100"})))
    assert pool.scheduler.outlook("misfit", 0.0) == type(pool.scheduler.outlook("misfit", 0.0))(
        0, None, "no server fits"
    )
    pool.hold("s19", "b")
    for number in range(19):
        pool.occupy(f"s{number}", "a")
    assert pool.decide(run("a", id="waits", seconds=5.0)) == {}
    assert pool.scheduler.outlook("waits", 0.0).reason == "the servers that hold its models are busy"
    with pytest.raises(KeyError):
        pool.scheduler.outlook("unknown", 0.0)


def test_the_counts_of_a_tenant() -> None:
    """What waits of one, and of all."""
    pool = Pool()
    pool.submit(run(tenant="x"), run(tenant="x"), run(tenant="y"))
    assert (pool.scheduler.waiting, pool.scheduler.waiting_of("x"), pool.scheduler.waiting_of("z")) == (3, 2, 0)


def test_tenants_without_runs_are_forgotten() -> None:
    """Each customer of a customer may be a tenant: what is remembered stays bounded."""
    pool = Pool(1)
    for number in range(5000):
        pool.decide(run(tenant=f"t{number}", seconds=1.0))
        pool.finish("s0", seconds=1.0)
    assert len(pool.scheduler._shares._tenants) < 2000
