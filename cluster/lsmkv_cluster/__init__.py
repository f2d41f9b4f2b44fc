"""The cluster: machines without sockets, clocks, threads or files, on top of the lsmkv engine.

Everything here is a pure function or a machine that is told the time and its inputs and says what
is to be done. The order of the modules stands in tests/cluster/test_layers.py.
"""
