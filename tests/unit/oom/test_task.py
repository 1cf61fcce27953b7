import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.task import Task, badness, memcg_pages, rank

M = 1 << 20
PAGE = 4096


def task(pid, rss=0, adj=0, **more):
    fields = {"swap": 0, "pgtables": 0, "started": 0.0} | more
    return Task(pid, f"t{pid}", "/x", adj, rss, **fields)


@pytest.mark.parametrize(
    ("limit", "pages_per_point"),
    [
        (64 * M, 16),
        (256 * M, 65),
        (4000 * 1024, 1),
        (4000 * 1024 - PAGE, 0),  # below 1000 pages adj has no weight
        (PAGE, 0),
        (2251799813685247 * PAGE, 2251799813685),
    ],
)
def test_what_a_point_of_oom_score_adj_weighs(limit, pages_per_point):
    assert badness(task(2, adj=1), limit // PAGE, PAGE) == pages_per_point
    assert badness(task(2, adj=-999), limit // PAGE, PAGE) == -999 * pages_per_point


@pytest.mark.parametrize(
    ("limit", "swap_max", "swap", "pages"),
    [
        (64 * M, 0, 32 * M, 16384),
        (64 * M, 16 * M, 32 * M, 20480),
        (64 * M, 48 * M, 32 * M, 24576),
        (64 * M, None, 32 * M, 24576),
        (64 * M, None, 0, 16384),
        (0, 0, 0, 1),
        (None, 0, 0, (2**63 - 1) // PAGE),
    ],
)
def test_the_pages_of_a_memcg_are_its_limit_and_the_swap_that_it_may_use(
    limit, swap_max, swap, pages
):
    assert memcg_pages(limit, swap_max, swap, PAGE) == pages


def test_no_limit_makes_adj_outrank_every_rss():
    unlimited = (2**63 - 1) // PAGE  # PAGE_COUNTER_MAX
    assert badness(task(2, adj=1), unlimited, PAGE) == 2251799813685
    first = rank([task(2, 1 << 40), task(3, PAGE, adj=1)], unlimited, PAGE)[0]
    assert first[1].pid == 3


def test_the_score_is_rss_swap_and_page_tables_in_pages():
    assert badness(task(2, 3 * PAGE, swap=2 * PAGE, pgtables=PAGE), 10**6, PAGE) == 6


@pytest.mark.parametrize(
    ("limit", "dies"),
    [
        (64 * M, 2),  # 10 + 62.5 MiB outweigh 40
        (2 * M, 3),  # no weight: the larger
    ],
)
def test_whether_adj_outweighs_size(limit, dies):
    ranking = rank([task(2, 10 * M, adj=1000), task(3, 40 * M)], limit // PAGE, PAGE)
    assert ranking[0][1].pid == dies


def test_of_equals_the_later_in_scan_order_is_chosen():
    ranking = rank([task(pid, M) for pid in (9, 2, 5)], 10**6, PAGE)
    assert [t.pid for _score, t in ranking] == [5, 2, 9]


@pytest.mark.parametrize(
    ("spared", "killable"),
    [
        (task(1, M), False),
        (task(2, M, adj=-1000), False),
        (task(2, M, has_mm=False), False),
        (task(2, M, adj=-999), True),
        (task(2, 0), True),
    ],
)
def test_which_tasks_may_be_killed(spared, killable):
    assert spared.killable is killable
    assert bool(rank([spared], 10**6, PAGE)) is killable


tasks = st.lists(
    st.builds(task, st.integers(1, 50), rss=st.integers(0, 1 << 40), adj=st.integers(-1000, 1000)),
    max_size=20,
)


@given(tasks, st.integers(1, (2**63 - 1) // PAGE))
def test_the_first_is_the_task_that_the_kernels_scan_would_choose(some, totalpages):
    """oom_evaluate_task(): take a task unless its points are below the chosen one's."""
    chosen, chosen_points = None, None
    for each in some:
        if not each.killable:
            continue
        points = badness(each, totalpages, PAGE)
        if chosen_points is None or points >= chosen_points:
            chosen, chosen_points = each, points
    ranking = rank(some, totalpages, PAGE)
    assert (ranking[0][1] if ranking else None) is chosen
