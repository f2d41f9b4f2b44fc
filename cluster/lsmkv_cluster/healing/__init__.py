"""What brings copies together again: hints, anti-entropy, recovery."""
