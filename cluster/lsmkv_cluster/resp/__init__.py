"""RESP, the protocol of Redis: what commands mean, without sockets, clocks or threads."""
