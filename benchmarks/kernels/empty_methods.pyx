# cython: language_level=3
"""Methods that do nothing: what a call from Python into Cython costs before any work is done."""


cdef class EmptyMethods:
    def take_one(self, key):
        return None

    def take_two(self, key, value):
        return None
