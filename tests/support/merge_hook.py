"""A native merge hook made with ctypes: the struct of kernels/merge_hook.h in a PyCapsule.

What a compiled extension would hand to `lsmkv.kernel.merge_batch`, without a compiler.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

KEEP, WRITE, DELETE = 0, 1, 2
NAME = b"lsmkv.merge_hook"

Answer = tuple[int, bytes]


class Slice(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))

    def bytes(self) -> bytes:
        return ctypes.string_at(self.data, self.size) if self.size else b""


APPLY = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, Slice, ctypes.POINTER(Slice), Slice, ctypes.POINTER(Slice)
)


class Struct(ctypes.Structure):
    _fields_ = (("apply", APPLY), ("context", ctypes.c_void_p))


class MergeHook:
    """Calls `function(context, key, old, operand) -> (action or status, result)`. `capsule` is what
    merge_batch takes; keep this object alive as long."""

    def __init__(
        self, function: Callable[[int | None, bytes, bytes | None, bytes], Answer], context: int = 0
    ) -> None:
        self._function = function
        self._result = b""
        self._struct = Struct(APPLY(self._apply), context)
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        self.capsule = make(ctypes.addressof(self._struct), NAME, None)

    def _apply(
        self, context: int | None, key: Slice, old: ctypes._Pointer[Slice], operand: Slice,
        result: ctypes._Pointer[Slice],
    ) -> int:  # fmt: skip
        stored = old.contents.bytes() if old else None
        action, self._result = self._function(context, key.bytes(), stored, operand.bytes())
        result.contents.data = ctypes.cast(ctypes.c_char_p(self._result), ctypes.c_void_p).value
        result.contents.size = len(self._result)
        return action


def named_otherwise() -> object:
    """A capsule that is no merge hook."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(1, b"another capsule", None)
