"""An answer goes to a client as it is, and to another node as bytes."""

from __future__ import annotations

from lsmkv_cluster.coordination.callers import Client, Peer, sent_back, size_of
from lsmkv_cluster.coordination.requests import (
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
    decode_answer,
)
from lsmkv_cluster.driver_ports import ClientReply
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Reply

ANSWER = ClientAnswer(Outcome.REFUSED, Reason.OVERLOADED)


def test_to_a_client():
    assert sent_back(Client(5, 0, 10), ANSWER) == ClientReply(5, ANSWER)


def test_to_a_node():
    reply = sent_back(Peer("there", b"p", 10), ANSWER)
    assert isinstance(reply, Reply)
    assert (reply.reply_to, reply.status) == ("there", OperationStatus.DONE)
    assert decode_answer(reply.payload) == ANSWER


def test_the_size_of_a_request_is_that_of_its_key_and_values():
    for values, size in (((), 1), ((b"abc",), 4), ((b"ab", b"", b"c"), 4)):
        assert size_of(ClientRequest(Verb.PUT, b"k", values)) == size
