from collections.abc import Collection, Hashable, Sequence
from typing import final

from lsmkv._native.merkle import MerkleTree
from lsmkv._native.resp import RequestParser
from lsmkv._native.resp_writer import ReplyWriter
from lsmkv._native.store import Store
from lsmkv._native.types import Buffer

VALUE_SIZE_MAX: int

def slot_of(key: Buffer) -> int: ...
def read_register(record: bytes, now_ms: int) -> tuple[bool, bytes | None]: ...
def overwrite_register(
    old: bytes | None,
    value: bytes,
    own: bytes,
    *,
    trusted_epoch: int,
    fresh_epoch: int,
    stamp: int,
    expiry_ms: int = 0,
) -> tuple[bytes, bool] | None: ...

@final
class Registers:
    def __init__(
        self, store: Store, trees: Sequence[MerkleTree | None], key_hash: bytes, tree_key: bytes
    ) -> None: ...
    def act_as(self, own: bytes, trusted_epoch: int) -> None: ...
    def give_serials(self, first: int, end: int) -> None: ...
    @property
    def block_reads(self) -> int: ...
    @property
    def serials_left(self) -> int: ...
    def serve(
        self,
        parser: RequestParser,
        writer: ReplyWriter,
        now_ms: int,
        stamp: int,
        locked: Collection[Hashable] | None,
    ) -> int: ...
    @property
    def stamp(self) -> int: ...
    @property
    def reads(self) -> int: ...
    @property
    def hits(self) -> int: ...
    @property
    def writes(self) -> int: ...
