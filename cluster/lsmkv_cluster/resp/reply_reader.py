"""What a client reads its replies with: the native parser, told of the values of replies.py.

Its limits are for a server that is trusted not to lie, only not to exhaust memory by accident; no
byte is looked at here.
"""

from __future__ import annotations

from lsmkv.kernel import ReplyParser
from lsmkv_cluster.resp.replies import ErrorReply, Push, Verbatim

__all__ = ["reply_parser"]

BULK_SIZE_MAX = 512 << 20
DEPTH_MAX = 64
ELEMENT_COUNT_MAX = 1 << 24  # about a gigabyte of small strings


def reply_parser(
    bulk_size_max: int = BULK_SIZE_MAX,
    depth_max: int = DEPTH_MAX,
    element_count_max: int = ELEMENT_COUNT_MAX,
) -> ReplyParser:
    return ReplyParser(
        bulk_size_max,
        depth_max,
        element_count_max,
        error=ErrorReply,
        push=Push,
        verbatim=Verbatim,
    )
