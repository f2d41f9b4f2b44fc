"""Micro-benchmarks of the kernels: nanoseconds per operation, each beside its floor.

A floor is what the machine asks for the least that a kernel has to do: copying as many bytes, one
cache miss, one call into the system. The loops run in C (c/, compiled by the session itself with
the flags of the product), so that no interpreter stands between two operations.

    native.py         compiles and loads the C loops
    case.py           what a benchmark is; the clock that makes pytest-benchmark count per operation
    inputs.py         keys, values and blocks, the same in every run
    cases/            the benchmarks, by kernel, each with the checksum it must return
    report.py         the table of kernels and floors
    bench_kernels.py  the session under pytest; conftest.py prints the table
    __main__.py       one benchmark alone, for profilers
"""
