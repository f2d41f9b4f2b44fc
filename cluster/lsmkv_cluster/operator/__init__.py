"""What operators type: the commands that this package adds to `lsmkv`."""
