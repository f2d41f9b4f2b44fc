"""A log-linear histogram of nanoseconds: constant memory for any number of operations.

Every power of two is cut into 32 buckets of equal width, so a bucket's upper bound is at most 1/32
above what was counted in it; below 64 ns every nanosecond has its own. The longest value is kept
exactly. `summary` gives the record that results carry, in microseconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from lsmkv_bench.results import Latency

SUBBUCKET_BITS = 5
LINEAR_BITS = SUBBUCKET_BITS + 1  # below 2**LINEAR_BITS every value is a bucket


def bucket_of(value_ns: int) -> int:
    """The index of the bucket; grows with the value."""
    shift = max(0, value_ns.bit_length() - LINEAR_BITS)
    return (shift << SUBBUCKET_BITS) + (value_ns >> shift)


def upper_bound(bucket: int) -> int:
    """The largest value that falls into the bucket."""
    shift = max(0, (bucket >> SUBBUCKET_BITS) - 1)
    top = bucket - (shift << SUBBUCKET_BITS)
    return ((top + 1) << shift) - 1


class Histogram:
    """Counts by bucket."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._longest_ns = 0

    def add(self, values_ns: Iterable[int]) -> None:
        """Count each value."""
        values = values_ns if isinstance(values_ns, list) else list(values_ns)
        self._counts.update(map(bucket_of, values))
        self._longest_ns = max(self._longest_ns, max(values, default=0))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._counts.total()

    def percentile(self, percent: float) -> int:
        """The smallest bound in nanoseconds that `percent` of the values do not exceed."""
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            if seen >= rank:
                return min(upper_bound(bucket), self._longest_ns)
        return 0

    def summary(self) -> Latency:
        """Percentiles and buckets, in microseconds."""
        return Latency(
            p50=self.percentile(50) / 1000,
            p99=self.percentile(99) / 1000,
            p99_9=self.percentile(99.9) / 1000,
            p99_99=self.percentile(99.99) / 1000,
            longest=self._longest_ns / 1000,
            counts=[
                [upper_bound(bucket) / 1000, float(count)]
                for bucket, count in sorted(self._counts.items())
            ],
        )
