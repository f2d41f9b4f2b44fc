"""The memtable in plain Python: a sorted list of (key, -sequence), and when to replace in place."""

import bisect

PUT, DELETE = 1, 2
MAX_SEQUENCE = (1 << 56) - 1


class ReferenceMemtable:
    def __init__(self):
        self.order = []  # (key, -sequence), ascending: the newest version of a key first
        self.payload = {}  # (key, -sequence) -> (kind, value)

    def insert(self, key, sequence, kind, value=b"", pinned_sequence=0):
        place = bisect.bisect_left(self.order, (key, -MAX_SEQUENCE))
        if place < len(self.order):
            newest = self.order[place]
            if newest[0] == key and -newest[1] > pinned_sequence:
                del self.order[place]
                del self.payload[newest]
        self.order.insert(place, (key, -sequence))
        self.payload[key, -sequence] = kind, value

    def entry(self, place):
        key, negative = self.order[place]
        return (key, -negative, *self.payload[key, negative])

    def entries(self):
        return [self.entry(place) for place in range(len(self.order))]

    def get(self, key, sequence=MAX_SEQUENCE):
        entry = self.at_or_after(key, sequence)
        return entry[1:] if entry is not None and entry[0] == key else None

    def at_or_after(self, key, sequence=MAX_SEQUENCE):
        place = bisect.bisect_left(self.order, (key, -sequence))
        return self.entry(place) if place < len(self.order) else None

    def before(self, key, sequence=MAX_SEQUENCE):
        place = bisect.bisect_left(self.order, (key, -sequence))
        return self.entry(place - 1) if place > 0 else None
