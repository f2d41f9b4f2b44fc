"""What travels between nodes: frames, datagrams, calls."""
