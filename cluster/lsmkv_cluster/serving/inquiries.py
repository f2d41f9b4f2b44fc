"""What commands ask for, given to whoever knows, and the answers given back.

    executor.take_asks -> [ inquiries ] -> driver, store, users, reports -> executor.answered

What holds: every query is answered once, whatever becomes of it; a change of the topology is
answered when this node follows it, so that who asks next sees it. What takes its time, checking a
password, is done on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from lsmkv_cluster.config.users import Users
from lsmkv_cluster.coordination.requests import ClientRequest
from lsmkv_cluster.driver_ports import AdminReply
from lsmkv_cluster.ports import Now
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.resp.executor import Executor
from lsmkv_cluster.resp.queries import (
    AdminAnswer,
    AdminChange,
    AdminReport,
    Answer,
    Asking,
    Explain,
    Failed,
    LoggedIn,
    Login,
    Repair,
    ScanPage,
)
from lsmkv_cluster.resp.verdicts import explained_or_failed, page_or_failed
from lsmkv_cluster.serving.running_node import RunningNode

__all__ = ["Inquiries", "Reports"]

LOGINS_MAX = 16  # that are checked at once; each takes a while and some memory


class Reports(Protocol):
    """What this process can say about itself and the cluster at once."""

    def report(self, query: AdminReport) -> Answer: ...


class _Chosen(NamedTuple):
    """A change that this node has still to follow."""

    token: int
    reply: AdminReply


class Inquiries:
    """`ask` sends what the executor wants to know; `answered` is called after each answer that was
    given back later."""

    def __init__(
        self,
        executor: Executor,
        running: RunningNode,
        reports: Reports,
        users: Users | None,
        now: Callable[[], Now],
        answered: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._running = running
        self._reports = reports
        self._users = users
        self._now = now
        self._answered = answered
        self._chosen: list[_Chosen] = []
        self._logins: set[asyncio.Task[None]] = set()
        running.driver.after_step(self._look_at_topology)

    def ask(self) -> None:
        """Until nothing is asked any more: some answers come at once, and lead to new queries."""
        while asks := self._executor.take_asks():
            for asking in asks:
                self._ask(asking)

    def _ask(self, asking: Asking) -> None:
        token, query, timeout_ms, client = asking
        driver = self._running.driver
        if isinstance(query, ClientRequest):
            driver.call(query, timeout_ms, lambda answer: self._came(token, answer), client)
        elif isinstance(query, AdminChange):
            driver.change(
                query.change,
                lambda reply: self._changed(_Chosen(token, reply)),
                is_forced=query.is_forced,
            )
        elif isinstance(query, ScanPage):
            driver.scan(query, timeout_ms, lambda page: self._came(token, page_or_failed(page)))
        elif isinstance(query, Explain):
            driver.explain(
                query.key, timeout_ms, lambda told: self._came(token, explained_or_failed(told))
            )
        elif isinstance(query, Repair):
            how_far = AdminReport("REPAIR")
            driver.repair(query.partition, lambda: self._came(token, self._reports.report(how_far)))
        elif isinstance(query, Login):
            self._log_in(token, query)
        elif isinstance(query, AdminReport):
            self._executor.answered(token, self._reports.report(query), self._now())
        else:
            failed = Failed(f"ERR {type(query).__name__} is not served here")
            self._executor.answered(token, failed, self._now())

    def _came(self, token: int, answer: Answer) -> None:
        self._executor.answered(token, answer, self._now())
        self._answered()

    # --- changes of the topology

    def _changed(self, chosen: _Chosen) -> None:
        reply = chosen.reply
        if reply.outcome is Outcome.COMMITTED:
            self._chosen.append(chosen)
            self._look_at_topology()
        else:
            self._came(chosen.token, _admin_answer(reply))

    def _look_at_topology(self) -> None:
        if not self._chosen:
            return
        epoch = self._running.node.topology.epoch
        due = [each for each in self._chosen if each.reply.epoch <= epoch]
        self._chosen = [each for each in self._chosen if each.reply.epoch > epoch]
        for token, reply in due:
            self._came(token, _admin_answer(reply))

    # --- users

    def _log_in(self, token: int, login: Login) -> None:
        users = self._users
        role = users.recall(login.user, login.password) if users is not None else None
        if role is not None or users is None:
            self._executor.answered(token, LoggedIn(role), self._now())
        elif len(self._logins) >= LOGINS_MAX:
            failed = Failed("ERR too many clients log in at once: try again")
            self._executor.answered(token, failed, self._now())
        else:
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._check(token, login, users))
            self._logins.add(task)
            task.add_done_callback(self._logins.discard)

    async def _check(self, token: int, login: Login, users: Users) -> None:
        role = await asyncio.to_thread(users.check, login.user, login.password)
        self._came(token, LoggedIn(role))


def _admin_answer(reply: AdminReply) -> AdminAnswer:
    return AdminAnswer(reply.outcome, reply.epoch, reply.text)
