"""One connection of a client: bytes in, commands to the executor, replies out.

    socket -> parser -> [ express ] -> executor -> ... -> writer -> socket

What holds:
- replies go out in the order of the commands, also where the short way has answered: it is open
  to a connection only while none of its commands is outstanding;
- so many commands are under way at most, and so many bytes of replies unread: beyond that the
  client is not read from;
- a client that sends a large command waits for its turn after each read (read_queue.py);
- what is no RESP ends the connection, after the replies to what came before it, in Redis's words.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, cast

from lsmkv.kernel import OutputFull, ReplyWriter, RequestParser
from lsmkv_cluster.ports import Now
from lsmkv_cluster.resp.executor import Executor, Ready
from lsmkv_cluster.resp.replies import ErrorReply
from lsmkv_cluster.resp.session import Session
from lsmkv_cluster.serving.express import Express, Way
from lsmkv_cluster.serving.input_budget import LARGE_SIZE, InputBudget
from lsmkv_cluster.serving.read_queue import LARGE_COMMAND_SIZE, ReadQueue

__all__ = ["Clock", "Port", "RespConnection", "RespLimits"]

COMMANDS_AT_ONCE = 128  # of one connection at most, before the others have their turn
WINDOW_FIRST = 2
ARGUMENTS_MAX = 1 << 20  # of one command, as Redis has it
UNREAD_SIZE = 256 << 10  # bytes of replies from which on a connection is not read any more

_log = logging.getLogger("lsmkv.clients")


@dataclass(frozen=True, slots=True)
class RespLimits:
    connections_max: int = 10_000
    strangers_max: int = 256  # of them, who have not logged in where they have to
    login_s: float = 10.0
    idle_s: float = 0.0  # 0: for ever
    command_size_max: int = 64 << 20
    value_size_max: int = 8 << 20
    pipeline_max: int = 1024
    output_size_max: int = 32 << 20
    input_total_size_max: int = 32 << 20  # of commands that have not come in whole
    output_total_size_max: int = 256 << 20
    slow_s: float = 60.0


class Clock(Protocol):
    def now(self) -> Now: ...


class Port(Protocol):
    """What a connection wants of the port that it belongs to (resp_port.py)."""

    executor: Executor
    clock: Clock
    limits: RespLimits
    express: Express | None
    is_draining: bool
    refused: int
    disconnected_slow: int
    inputs: InputBudget
    read_queue: ReadQueue

    def has_users(self) -> bool: ...
    def opened(self, connection: RespConnection) -> str | None: ...
    def closed(self, connection: RespConnection) -> None: ...
    def logged_in(self, connection: RespConnection) -> None: ...
    def is_stranger(self, connection: RespConnection) -> bool: ...
    def flush(self) -> None: ...
    def pump(self) -> None: ...


class RespConnection(asyncio.BufferedProtocol):
    def __init__(self, port: Port, session: Session) -> None:
        self._port = port
        self.session = session
        limits = port.limits
        self.parser = RequestParser(ARGUMENTS_MAX, limits.value_size_max, limits.command_size_max)
        self.writer = ReplyWriter(limits.output_size_max, session.protocol)
        self._transport: asyncio.Transport | None = None
        # Commands that are begun at once: few at first, as replies may be large.
        self._window = WINDOW_FIRST
        self._is_reading = True
        self._is_planned = False
        self._is_aboard = False  # the short way has parser and writer for now
        self._ends = False  # nothing that comes in counts any more
        self._has_fault = False
        self._is_large = False  # what came and was not carried out counts among the inputs
        self._is_in_queue = False  # it was read, and is read again when it is its turn
        self._full_since_s: float | None = None
        self._opened_s = 0.0
        self._active_s = 0.0

    # --- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._opened_s = self._active_s = monotonic()
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.session.address = _shown(peer)
        self.session.local_address = _shown(own)
        self._transport.set_write_buffer_limits(high=UNREAD_SIZE)
        why = self._port.opened(self)
        if why is not None:
            self._port.refused += 1
            self._ends = True
            self.writer.value(ErrorReply(why))
            self._send()
            self._transport.close()
        elif self._port.has_users():
            self.parser.is_restricted = True

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._ends = True
        self._is_large = self._is_large and self._port.inputs.holds(self, 0)
        self._port.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.parser.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.parser.buffer_updated(nbytes)
        if not self._is_planned:
            self._go_on()
        if self.parser.expected_size > LARGE_COMMAND_SIZE and not self._is_in_queue:
            self._is_in_queue = True
            self.reconsider_reading()
            self._port.read_queue.wait(self)

    def read_on(self) -> None:
        self._is_in_queue = False
        self.reconsider_reading()

    def resume(self, served: int) -> None:
        """The short way gives parser and writer back."""
        self._is_aboard = False
        if self._transport is None:
            return
        self._send()
        self.reconsider_reading()
        self._plan()

    def eof_received(self) -> bool:
        """A client that has sent all it had to say still gets its replies."""
        self._ends = self._ends or not self._port.executor.pending(self.session)
        self._finish_if_over()
        return not self._ends

    def pause_writing(self) -> None:
        self._window = max(1, self._window // 2)
        self._full_since_s = monotonic()
        self.reconsider_reading()

    def resume_writing(self) -> None:
        self._full_since_s = None
        self.reconsider_reading()
        self._plan()

    # --- commands

    def _plan(self) -> None:
        if not self._is_planned and not self._ends:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._planned)

    def _planned(self) -> None:
        self._is_planned = False
        self._go_on()

    @property
    def _may_answer(self) -> bool:
        return not self._ends and self._transport is not None and self._full_since_s is None

    def _go_on(self) -> None:
        """A turn of this connection; the rest waits for the next one."""
        if self._is_aboard or not self._may_answer:
            return
        port, executor, session = self._port, self._port.executor, self.session
        if executor.has_replies:  # they come before what the short way answers now
            port.flush()
            if not self._may_answer:
                return
        pending = executor.pending(session)
        if port.express is not None and not pending and not port.is_draining:
            way = port.express.serve(self)
            if way is Way.SERVED:
                self._active_s = monotonic()
                self._send()
                if self._is_large:
                    self.reconsider_reading()
                if self.parser.buffered_size:
                    self._plan()
                return
            if way is Way.LATER:
                self._is_aboard = True
                self.reconsider_reading()
                return
        room = min(self._window, port.limits.pipeline_max - pending)
        commands = self.parser.take(room) if room > 0 and not port.is_draining else []
        if commands:
            now = port.clock.now()
            for args in commands:
                executor.submit(session, args, now)
            port.pump()
            if self._full_since_s is None:
                self._window = min(2 * self._window, COMMANDS_AT_ONCE)
            self._active_s = monotonic()
            if self.parser.buffered_size:
                self._plan()
        self._look_for_fault(has_room=room > 0 and not commands)
        self.reconsider_reading()

    def _look_for_fault(self, *, has_room: bool) -> None:
        if has_room and not self._has_fault and self.parser.fault is not None:
            self._has_fault = True
            self._finish_if_over()

    def answer(self, ready: Ready) -> None:
        if self._transport is None:
            return
        if not ready.replies and not ready.closes:
            return
        self.writer.protocol = ready.protocol
        try:
            for reply in ready.replies:
                self.writer.value(reply)
                if self.writer.size > UNREAD_SIZE:
                    self._send()
        except OutputFull:
            self.give_up("a reply is larger than the output buffer")
            return
        self._send()
        if self.parser.is_restricted and self.session.role is not None:
            self.parser.is_restricted = False
            self._port.logged_in(self)
        if ready.closes:
            self._ends = True
            self._transport.close()
            return
        self._finish_if_over()
        self._plan()

    def _finish_if_over(self) -> None:
        """What is wrong comes after the replies to what came before it."""
        if self._transport is None or self._port.executor.pending(self.session):
            return
        if self._has_fault and not self._ends:
            self._ends = True
            self.writer.value(ErrorReply(f"ERR {self.parser.fault}"))
            self._send()
            self._transport.close()
        elif self._ends:
            self._transport.close()

    def _send(self) -> None:
        if self._transport is None:
            return
        data = self.writer.take()
        if not data:
            return
        self._transport.write(data)
        if self._full_since_s is None and len(data) <= UNREAD_SIZE:
            return  # what is unread is less than twice as much
        if self.unread_size > self._port.limits.output_size_max:
            self.give_up("it does not read its replies")

    # --- limits

    @property
    def unread_size(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def is_busy(self) -> bool:
        pending = self._port.executor.pending(self.session)
        return bool(pending or self.unread_size or self._is_aboard)

    def look(self, now_s: float) -> None:
        limits = self._port.limits
        if self._full_since_s is not None and now_s - self._full_since_s > limits.slow_s:
            self.give_up("it does not read its replies")
        elif self._port.is_stranger(self) and now_s - self._opened_s > limits.login_s:
            self.give_up("no login in time")
        elif limits.idle_s and not self.is_busy and now_s - self._active_s > limits.idle_s:
            self.close()

    def reconsider_reading(self) -> None:
        """Not from whom has too much under way or unread already."""
        if self._transport is None or self._transport.is_closing():
            return
        limits = self._port.limits
        wants = (
            self._full_since_s is None
            and not self._is_aboard
            and not self._is_in_queue
            and not self._ends
            and not self._has_fault
            and not self._port.is_draining
            and self._port.executor.pending(self.session) < limits.pipeline_max
            and self._has_room()
        )
        if wants is not self._is_reading:
            self._is_reading = wants
            if wants:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _has_room(self) -> bool:
        """For what it sends, beside the commands that others have begun."""
        size, inputs = self.parser.buffered_size, self._port.inputs
        if not self._is_large and size <= LARGE_SIZE:
            return True
        self._is_large = inputs.holds(self, size)
        return inputs.may_read(self)

    def give_up(self, why: str) -> None:
        """What was not sent is not sent any more."""
        if self._transport is not None:
            _log.warning("client %s is disconnected: %s", self.session.address, why)
            self._port.disconnected_slow += 1
            self._ends = True
            self._transport.abort()

    def close(self) -> None:
        self._ends = True
        if self._transport is not None:
            self._transport.close()


def _shown(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address or "")
