"""Commands find a node that carries them out, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lsmkv import ClosedError
from lsmkv_cluster.client.calling import Login, encode_command
from lsmkv_cluster.client.dispatching import ClientSettings, Dispatcher
from lsmkv_cluster.client.outcomes import Refused, Unknown
from lsmkv_cluster.resp.replies import ErrorReply
from tests.cluster.client.scripted_node import DROP, SILENCE, ScriptedNode, ring

GET = encode_command((b"GET", b"k"))
SET = encode_command((b"SET", b"k", b"v"))
PATIENCE_S = 10.0

Play = Callable[[Dispatcher, ScriptedNode, ScriptedNode], Awaitable[None]]


def play(script: Play, timeout_s: float = PATIENCE_S, login: Login | None = None) -> None:
    """Two nodes, of which the first is the first owner of everything, the second the other."""

    async def run() -> None:
        async with ScriptedNode() as a, ScriptedNode() as b:
            nodes = {"a": a.endpoint, "b": b.endpoint}
            for node in (a, b):
                node.answers["KV.CLUSTER"] = ring(nodes, [("a", "b")])
            settings = ClientSettings((b.endpoint,), timeout_s=timeout_s, login=login)
            dispatcher = Dispatcher(settings)
            try:
                await script(dispatcher, a, b)
            finally:
                await dispatcher.close()

    asyncio.run(run())


def test_the_first_owner_is_asked() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["GET"] = b"v"
        for _ in range(3):
            assert await dispatcher.perform(GET, b"k", is_write=False) == b"v"
        assert (a.count("GET"), b.count("GET")) == (3, 0)
        assert b.count("KV.CLUSTER") + a.count("KV.CLUSTER") == 1

    play(script)


def test_what_is_under_way_at_once_shares_connections_and_keeps_its_order() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["ECHO"] = lambda args: args[1]
        commands = [encode_command((b"ECHO", b"%d" % number)) for number in range(2000)]
        calls = [dispatcher.perform(command, b"k", is_write=False) for command in commands]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(2000)]
        assert a.connections <= 2

    play(script)


@pytest.mark.parametrize("kind", ["NOREPLICAS", "LOADING", "CLUSTERDOWN", "MISCONF"])
def test_after_an_error_that_says_nothing_was_written_the_other_owner_does_it(kind: str) -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = ErrorReply(f"{kind} sorry")
        b.answers["SET"] = "OK"
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"

    play(script)


def test_if_all_refuse_that_is_the_answer() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = b.answers["SET"] = ErrorReply("NOREPLICAS 0 of 2 replicas")
        with pytest.raises(Refused, match="NOREPLICAS 0 of 2"):
            await dispatcher.perform(SET, b"k", is_write=True)
        assert (a.count("SET"), b.count("SET")) == (1, 1)

    play(script)


@pytest.mark.parametrize("text", ["UNKNOWN the write may exist", "ERR no"])
def test_other_errors_end_the_call(text: str) -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = ErrorReply(text)
        with pytest.raises((Refused, Unknown)) as raised:
            await dispatcher.perform(SET, b"k", is_write=True)
        assert raised.value.kind == text.split()[0]
        assert b.count("SET") == 0

    play(script)


def test_a_busy_node_is_asked_again_after_a_while() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        answers = iter([ErrorReply("BUSY sorry"), ErrorReply("BUSY sorry"), "OK"])
        a.answers["SET"] = lambda args: next(answers)
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"
        assert (a.count("SET"), b.count("SET")) == (3, 0)

    play(script)


def test_a_write_whose_connection_ends_is_unknown_and_never_sent_again() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = DROP
        b.answers["SET"] = "OK"
        with pytest.raises(Unknown):
            await dispatcher.perform(SET, b"k", is_write=True)
        assert (a.count("SET"), b.count("SET")) == (1, 0)
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK", "the other comes first"
        assert a.count("SET") == 1

    play(script)


def test_a_read_goes_on_elsewhere_after_a_lost_connection_and_after_silence() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        b.answers["GET"] = b"v"
        for mischief in (DROP, SILENCE):
            a.answers["GET"] = mischief
            assert await dispatcher.perform(GET, b"k", is_write=False) == b"v"
            dispatcher._suspects.worked(a.endpoint)
        assert a.count("GET") == 2

    play(script, timeout_s=1.0)


def test_a_silent_node_makes_a_write_unknown() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = SILENCE
        with pytest.raises(Unknown, match="no reply within"):
            await dispatcher.perform(SET, b"k", is_write=True)

    play(script, timeout_s=0.2)


def test_a_write_that_was_not_sent_goes_elsewhere() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        b.answers["SET"] = "OK"
        await a.stop()
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"

    play(script)


def test_nobody_there_is_a_refusal() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        await a.stop()
        await b.stop()
        with pytest.raises(Refused) as raised:
            await dispatcher.perform(SET, b"k", is_write=True)
        assert raised.value.kind == "UNREACHABLE"

    play(script, timeout_s=0.2)


def test_moved_leads_on_and_makes_it_ask_who_owns_what() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        dispatcher._learn_after_s = 0.0
        await dispatcher.perform(encode_command((b"HELLO",)), b"k", is_write=False)
        dispatcher._learn_after_s = 0.0
        changed = ring({"a": a.endpoint, "b": b.endpoint}, [("b",)], epoch=2)
        a.answers["KV.CLUSTER"] = b.answers["KV.CLUSTER"] = changed
        a.answers["SET"] = ErrorReply(f"MOVED 7 {b.endpoint}")
        b.answers["SET"] = "OK"
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"
        assert dispatcher._learning is not None
        await dispatcher._learning
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"
        assert (a.count("SET"), b.count("SET")) == (1, 2)

    play(script)


def test_nodes_that_send_in_circles_do_not_do_so_for_ever() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["SET"] = ErrorReply(f"MOVED 7 {b.endpoint}")
        b.answers["SET"] = ErrorReply(f"MOVED 7 {a.endpoint}")
        with pytest.raises(Refused, match="MOVED"):
            await dispatcher.perform(SET, b"k", is_write=True)
        assert a.count("SET") + b.count("SET") <= 5

    play(script)


def test_without_a_ring_the_given_nodes_do() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        b.answers["KV.CLUSTER"] = ErrorReply("ERR unknown command")
        b.answers["SET"] = "OK"
        assert await dispatcher.perform(SET, b"k", is_write=True) == "OK"
        assert a.count("SET") == 0

    play(script)


def test_it_logs_in_and_tells_at_once_that_it_may_not() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        a.answers["GET"] = b"v"
        assert await dispatcher.perform(GET, b"k", is_write=False) == b"v"
        assert a.asked[0][:5] == [b"HELLO", b"3", b"AUTH", b"ada", b"secret"]
        b.answers["HELLO"] = a.answers["HELLO"] = ErrorReply("WRONGPASS no")
        other = Dispatcher(ClientSettings((b.endpoint,), login=Login("ada", b"wrong")))
        with pytest.raises(Refused, match="WRONGPASS"):
            await other.perform(GET, b"k", is_write=False)
        await other.close()

    play(script, login=Login("ada", b"secret"))


def test_one_node_alone_can_be_asked() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        b.answers["SET"] = ErrorReply("LOADING")
        a.answers["SET"] = "OK"
        with pytest.raises(Refused, match="LOADING"):
            await dispatcher.ask_at(b.endpoint, SET)
        b.answers["SET"] = DROP
        with pytest.raises(Unknown):
            await dispatcher.ask_at(b.endpoint, SET)
        assert a.count("SET") == 0

    play(script)


def test_after_closing_nothing_is_sent_and_who_waits_is_told() -> None:
    async def script(dispatcher: Dispatcher, a: ScriptedNode, b: ScriptedNode) -> None:
        asked = asyncio.Event()

        def silent(args: list[bytes]) -> object:
            asked.set()
            return SILENCE

        a.answers["SET"] = silent
        waiting = asyncio.ensure_future(dispatcher.perform(SET, b"k", is_write=True))
        await asked.wait()
        await dispatcher.close()
        with pytest.raises(Unknown):
            await waiting
        with pytest.raises(ClosedError):
            await dispatcher.perform(GET, b"k", is_write=False)

    play(script)
