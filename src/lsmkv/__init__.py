"""lsmkv: an embedded, ordered, durable key-value store."""
