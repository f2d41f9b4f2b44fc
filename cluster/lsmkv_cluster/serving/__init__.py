"""What touches the world: sockets, clocks, threads and processes around one node."""
