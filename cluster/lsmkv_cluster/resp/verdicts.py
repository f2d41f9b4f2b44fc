"""How a request that was not carried out is told to a client of Redis.

    outcome    error         what it says
    REFUSED    NOREPLICAS    nothing was written, and how many answered of how many
    UNKNOWN    UNKNOWN       it may have been written, by how many of how many

Neither is a kind of error that clients repeat by themselves. Reasons that have nothing to do with
other nodes have kinds of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.resp.commanding import CommandError
from lsmkv_cluster.resp.queries import Explained, Failed
from lsmkv_cluster.scanning.scan_pages import Page, Unlisted

__all__ = ["all_done", "checked", "explained_or_failed", "page_or_failed", "verdict"]

TEXTS = {
    Reason.NOT_READY: "LOADING this node is not ready for this key yet",
    Reason.OVERLOADED: "BUSY this node has too much to do",
    Reason.TOO_MANY_SIBLINGS: (
        "ERR too many concurrent values: read them with KV.GET, and write with the context"
    ),
    Reason.BAD_CONTEXT: "ERR the context is damaged, or of another key",
    Reason.BAD_REQUEST: (
        "ERR key or value is too large, or the levels are not allowed in a strict keyspace"
    ),
    Reason.STORE_FAILED: "MISCONF the store cannot write: its disk is full or fails",
    Reason.WRONG_TYPE: "ERR value is not an integer or out of range",
    Reason.NOT_A_MEMBER: "CLUSTERDOWN this node has been removed from the cluster",
}


def verdict(request: ClientRequest, answer: ClientAnswer) -> str | None:
    """The error of a request; None when it is done."""
    if answer.outcome is Outcome.DONE:
        return None
    count = f"{answer.answered} of {answer.needed} replicas"
    if answer.outcome is Outcome.UNKNOWN:
        return f"UNKNOWN the write may exist: {count} have confirmed it"
    nothing = "; nothing was written" if request.is_write else ""
    if answer.reason in TEXTS:
        return TEXTS[answer.reason] + nothing
    match answer.reason:
        case Reason.DEADLINE:
            return f"NOREPLICAS not answered in time{nothing}"
        case Reason.STALE:
            return "NOREPLICAS what this client has seen cannot be read now"
        case _:
            what = "could be reached" if request.is_write else "have answered"
            return f"NOREPLICAS {count} {what}{nothing}"


def checked(request: ClientRequest, answer: ClientAnswer) -> ClientAnswer:
    """CommandError when it is not done."""
    text = verdict(request, answer)
    if text is not None:
        raise CommandError(text)
    return answer


def page_or_failed(result: Page | Unlisted) -> Page | Failed:
    if isinstance(result, Page):
        return result
    if result.is_busy:
        return Failed("BUSY there is too much to do to list keys")
    return Failed(
        f"NOREPLICAS {result.answered} of {result.needed} owners of a partition can list its keys"
    )


def explained_or_failed(told: tuple[Told, ...] | None) -> Explained | Failed:
    return Explained(told) if told is not None else Failed("BUSY there is too much to do")


def all_done(requests: Sequence[ClientRequest], answers: Iterable[ClientAnswer]) -> None:
    """Of one command. If some writes are done and some are not, the whole is unknown."""
    pairs = list(zip(requests, answers, strict=True))
    texts = [text for pair in pairs if (text := verdict(*pair)) is not None]
    if not texts:
        return
    unknown = [text for text in texts if text.startswith("UNKNOWN")]
    if requests[0].is_write and (unknown or len(texts) < len(pairs)):
        done = len(pairs) - len(texts)
        raise CommandError(
            f"UNKNOWN {done} of {len(pairs)} keys were written, others may be: "
            f"{(unknown or texts)[0].partition(' ')[2]}"
        )
    raise CommandError(texts[0])
