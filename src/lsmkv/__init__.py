"""lsmkv: an embedded, ordered, durable key-value store.

with lsmkv.open("path") as db:
    db.put(b"key", b"value")
    db[b"key"]                          # b"value"
    for key, value in db.scan(prefix=b"k"):
        ...
"""

from lsmkv._native.arrays import Column
from lsmkv._native.snapshot import Snapshot
from lsmkv.api import destroy, open, repair, verify
from lsmkv.batch import WriteBatch
from lsmkv.db import DB
from lsmkv.errors import (
    ClosedError,
    CorruptionError,
    Error,
    ForkError,
    LockedError,
    OptionsError,
    ReadOnlyError,
    StorageError,
)
from lsmkv.options import Options
from lsmkv.views import Prefixed, View

__all__ = [
    "open",
    "destroy",
    "repair",
    "verify",
    "DB",
    "Snapshot",
    "WriteBatch",
    "View",
    "Prefixed",
    "Column",
    "Options",
    "Error",
    "CorruptionError",
    "ClosedError",
    "LockedError",
    "ReadOnlyError",
    "ForkError",
    "OptionsError",
    "StorageError",
]
