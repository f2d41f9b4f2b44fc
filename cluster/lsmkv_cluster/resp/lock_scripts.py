"""EVAL and EVALSHA, for three scripts: those by which redis-py's Lock is released and extended.

No Lua is run. The scripts are known by their hashes, and what they do is done here, the key held
meanwhile: so a lock is exact in a node that is alone, and refused in a cluster as SET NX is.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1

from lsmkv_cluster.resp.changing import DELETE, KEEP, Decision, Write, change
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.exactness import refuse_unless_exact
from lsmkv_cluster.resp.options import SYNTAX_ERROR, integer, word
from lsmkv_cluster.resp.replies import OK, Reply
from lsmkv_cluster.resp.stored_values import Stored, Type

__all__ = ["eval_", "evalsha", "keys_of_script", "script_exists", "script_flush", "script_load"]

NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."
NO_LUA = (
    "ERR scripts are not run here, but for those of redis-py's Lock: what they do has to be done "
    "by commands, in MULTI where it must be atomic"
)
KEYS_AT = 3

Rule = Callable[[Turn, Stored, list[bytes]], Decision]


def _release(turn: Turn, stored: Stored, args: list[bytes]) -> Decision:
    return DELETE


def _extend(turn: Turn, stored: Stored, args: list[bytes]) -> Decision:
    if not stored.expiry_ms:
        return KEEP
    is_added = args[2] == b"0"
    return _until(turn, stored, integer(args[1]) + (stored.expiry_ms if is_added else turn.wall_ms))


def _reacquire(turn: Turn, stored: Stored, args: list[bytes]) -> Decision:
    return _until(turn, stored, integer(args[1]) + turn.wall_ms)


def _until(turn: Turn, stored: Stored, expiry_ms: int) -> Decision:
    return Write(stored.value, expiry_ms) if expiry_ms > turn.wall_ms else DELETE


# By SHA-1 of the script: what becomes of a lock that is still held with this token, and how many
# arguments there are.
RULES: dict[str, tuple[Rule, int]] = {
    "c3f8721cbb97f72bc19e972846bd7aaf91901658": (_release, 1),
    "a4e8783852e6b949f9ef3a97212805108459a890": (_extend, 3),
    "1cac51482acf5858da00f6d685d68f886cd6b6b2": (_reacquire, 2),
}


def eval_(turn: Turn, args: list[bytes]) -> Run:
    return _run(turn, args, sha1(args[1]).hexdigest(), NO_LUA)


def evalsha(turn: Turn, args: list[bytes]) -> Run:
    return _run(turn, args, word(args[1]), NO_SCRIPT)


def _run(turn: Turn, args: list[bytes], digest: str, unknown: str) -> Run:
    count = integer(args[2])
    if count > len(args) - KEYS_AT:
        raise CommandError("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError("ERR Number of keys can't be negative")
    known = RULES.get(digest)
    if known is None:
        raise CommandError(unknown)
    keys, rest = args[KEYS_AT : KEYS_AT + count], args[KEYS_AT + count :]
    rule, arg_count = known
    if len(keys) != 1 or len(rest) < arg_count:
        raise CommandError("ERR the script of a lock takes one key, and the token first")
    refuse_unless_exact(turn, keys, "a lock")
    return _with_lock(turn, keys[0], rest, rule)


def _with_lock(turn: Turn, key: bytes, args: list[bytes], rule: Rule) -> Run:
    is_done = False

    def decide(before: Stored) -> Decision:
        nonlocal is_done
        is_held = before.type is Type.STRING and before.value == args[0]
        decision = rule(turn, before, args) if is_held else KEEP
        is_done = decision is not KEEP
        return decision

    yield from change(turn, key, decide)
    return int(is_done)


def keys_of_script(args: list[bytes]) -> list[bytes]:
    count = int(args[2]) if args[2].isdigit() and len(args[2]) < 5 else 0
    return args[KEYS_AT : KEYS_AT + count]


def script_load(turn: Turn, args: list[bytes]) -> Reply:
    digest = sha1(args[2]).hexdigest()
    if digest not in RULES:
        raise CommandError(NO_LUA)
    return digest.encode()


def script_exists(turn: Turn, args: list[bytes]) -> Reply:
    return [int(word(arg) in RULES) for arg in args[2:]]


def script_flush(turn: Turn, args: list[bytes]) -> Reply:
    """They stay known."""
    if len(args) > 3 or (len(args) == 3 and word(args[2]) not in ("async", "sync")):
        raise CommandError(SYNTAX_ERROR)
    return OK
