"""Why something that came over the wire is not taken: one number for each reason.

A Refusal ends the connection (or drops the datagram) as a whole; the number travels to the peer in
a refusal frame, so that its log can say why. What concerns a single operation is an
OperationStatus (operations.py) and ends nothing. Numbers are persistent, and 0 is none.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Refusal"]


class Refusal(IntEnum):
    """The reason, as a refusal frame carries it."""

    NOT_A_FRAME = 1  # other magic bytes: somebody else's protocol
    UNKNOWN_VERSION = 2  # of the frame or datagram layout
    UNKNOWN_KIND = 3
    UNKNOWN_FLAGS = 4
    UNKNOWN_LANE = 5
    DAMAGED = 6  # a checksum is wrong
    TOO_LARGE = 7  # over the limits of this connection
    MALFORMED = 8  # intact, but not what an encoder writes
    TRUNCATED = 9  # the stream ended inside a frame
    WRONG_CLUSTER = 10
    WRONG_LANE = 11  # a frame of another lane than its connection's
    NO_COMMON_VERSION = 12  # handshake: the version ranges do not meet
    FEATURE_LEVEL = 13  # handshake: one side does not know what the other's topology uses
    CLONED_NODE = 14  # handshake: the peer says that it is this node
    UNAUTHENTIC = 15  # datagram: no key of ours made this MAC
    NO_HANDSHAKE = 16  # another frame came before the handshake
    NOT_A_MEMBER = 17
