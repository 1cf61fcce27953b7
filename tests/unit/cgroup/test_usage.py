from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.usage import Sampler
from oomctl.oom.outcome import Sample


class Samples(list):
    """Counts how many of its samples are looked at."""

    looked_at = 0

    def __getitem__(self, place):
        Samples.looked_at += 1
        return super().__getitem__(place)


def test_a_fall_is_found_without_the_samples_of_earlier_calls(cgroupfs):
    top = UnifiedNode("t", parent=cgroupfs)
    top.directory.mkdir()
    with Sampler(top) as sampler:
        sizes = [*[7] * 10_000, 9, 9, 8, 7]
        sampler.samples = Samples(Sample(at, top.cgroup, size) for at, size in enumerate(sizes))
        assert sampler.first_below(9, 10_001) == 10_002
        assert sampler.first_below(8, 10_001) == 10_003
        assert sampler.first_below(7, 10_001) is None
    assert Samples.looked_at < 100


def test_only_the_topmost_cgroup_counts(cgroupfs):
    top = UnifiedNode("t", parent=cgroupfs)
    top.directory.mkdir()
    with Sampler(top) as sampler:
        sampler.samples = [Sample(1, "/t/below", 1), Sample(2, "/t", 9), Sample(3, "/t", 4)]
        assert sampler.first_below(5, 0) == 3
