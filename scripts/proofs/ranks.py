"""Ratios of pairs, with the interval of Wilcoxon's signed-rank test, and medians, with the interval of the sign test."""

import math
import statistics

LEVEL = 0.05


def rank_of_interval(pairs):
    """Returns the k for which the k-th least and the k-th greatest Walsh average bound an interval of 95 % or a little more.

    The interval excludes a value with the chance that the rank sum of the test is below k, twice. The chances of all sums
    follow from the 2^n signs, which are equally likely. Returns 0 if there are too few pairs.
    """
    ways = [1]
    for rank in range(1, pairs + 1):
        ways = [(ways[total] if total < len(ways) else 0) + (ways[total - rank] if total >= rank else 0)
                for total in range(len(ways) + rank)]
    below, k = 0, 0
    while 2 * (below + ways[k]) <= LEVEL * 2**pairs:
        below += ways[k]
        k += 1
    return k


def ratio_of(pairs):
    """Returns the ratio first / second of pairs of figures: the estimate, and the lower and upper end of its interval."""
    logs = [math.log(first / second) for first, second in pairs]
    walsh = sorted((one + other) / 2 for index, one in enumerate(logs) for other in logs[index:])
    k = rank_of_interval(len(logs))
    if k == 0:
        raise ValueError("an interval needs 6 pairs")
    return tuple(math.exp(value) for value in (statistics.median(walsh), walsh[k - 1], walsh[-k]))


def interval_of_median(values):
    """Returns the ends of the 95 % interval of a median: the k-th least and the k-th greatest value, as in vnotch's results."""
    ordered, below, k = sorted(values), 0, 0
    while 2 * (below + math.comb(len(ordered), k)) <= LEVEL * 2**len(ordered):
        below += math.comb(len(ordered), k)
        k += 1
    if k == 0:
        raise ValueError("an interval needs 6 values")
    return ordered[k - 1], ordered[-k]


def self_test():
    """Checks the ranks against printed tables, and a ratio against one that was worked out. Returns the number of checks."""
    # Critical values of the rank sum at 5 %, two-sided: 0 for 6 pairs, 3 for 8, 8 for 10, 13 for 12, 52 for 20.
    for pairs, critical in ((6, 0), (8, 3), (10, 8), (12, 13), (20, 52)):
        assert rank_of_interval(pairs) == critical + 1, (pairs, rank_of_interval(pairs))
    assert rank_of_interval(5) == 0
    estimate, low, high = ratio_of([(2.0, 1.0)] * 12)
    assert all(abs(value - 2) < 1e-9 for value in (estimate, low, high))
    mixed = ratio_of([(1.0 + index / 100, 1.0) for index in range(12)])
    assert 1.0 < mixed[1] < mixed[0] < mixed[2] < 1.11, mixed
    # Of 10 values the 2nd least and greatest bound 97.9 %, of 20 the 6th, of 30 the 10th.
    for count, rank in ((6, 1), (10, 2), (20, 6), (30, 10)):
        assert interval_of_median(range(1, count + 1)) == (rank, count + 1 - rank), count
    return 4
