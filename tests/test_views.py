"""Views and sub-databases answer as a dict of the same objects would, and touch nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, MutableMapping

import pytest

import lsmkv
from lsmkv.codecs import Codec

NEIGHBOURS = {b"a": b"1", b"users": b"2", b"users0": b"3", b"z": b"4", b"\xff\xff\xff\0z": b"5"}


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    """With keys right before and after those of the tests, which must stay."""
    with lsmkv.open(":memory:") as database:
        database.put_many(NEIGHBOURS)
        yield database
        found = dict(database.scan())
        assert {key: found.get(key) for key in NEIGHBOURS} == NEIGHBOURS


class TestPrefixed:
    def test_is_a_mutable_mapping(self, db: lsmkv.DB) -> None:
        users = db.prefixed(b"users/")
        assert isinstance(users, MutableMapping)
        assert not users
        users[b"ada"] = b"1815"
        users.put(b"alan", b"1912", sync=True)
        users.put_many({b"grace": b"1906"})
        users.put_many(iter([(b"edsger", b"1930")]))
        assert users
        assert len(users) == 4
        assert users[b"ada"] == users.get(b"ada") == b"1815"
        assert db[b"users/ada"] == b"1815"
        assert b"alan" in users
        assert users.get(b"nobody") is None
        assert users.get(b"nobody", 7) == 7
        assert list(users) == sorted([b"ada", b"alan", b"grace", b"edsger"])
        assert users.get_many([b"grace", b"nobody"]) == [b"1906", None]
        del users[b"grace"]
        users.delete(b"edsger")
        with pytest.raises(KeyError) as caught:
            users[b"grace"]
        assert caught.value.args == (b"grace",)
        with pytest.raises(KeyError):
            del users[b"grace"]
        assert users.pop(b"alan") == b"1912"
        assert users.setdefault(b"ada", b"x") == b"1815"
        assert users.popitem() == (b"ada", b"1815")
        assert users != {}
        assert hash(users) == hash(users)
        assert "users/" in repr(users)

    @pytest.mark.parametrize("prefix", [b"", b"users/", b"\xff", b"\xff\xff", b"a\xff\xff", b"\0"])
    def test_scans_as_a_dict_would(self, db: lsmkv.DB, prefix: bytes) -> None:
        part = db.prefixed(prefix)
        model = {
            key[len(prefix) :]: value for key, value in NEIGHBOURS.items() if key.startswith(prefix)
        }
        new = dict.fromkeys((b"", b"\x00", b"k", b"k\xff", b"\xff\xff"), b"new")
        part.put_many(new)
        model |= new
        assert {prefix + key: value for key, value in model.items()} == dict(db.scan(prefix=prefix))
        bounds = [None, b"", b"k", b"k\xff", b"\xff"]
        for start, stop, reverse, limit in itertools.product(
            bounds, bounds, [False, True], [None, 0, 2]
        ):
            expected = [
                pair
                for pair in sorted(model.items(), reverse=reverse)
                if (start is None or pair[0] >= start) and (stop is None or pair[0] < stop)
            ][:limit]
            assert list(part.scan(start, stop, reverse=reverse, limit=limit)) == expected
            assert list(part.keys(start, stop, reverse=reverse, limit=limit)) == [
                key for key, _ in expected
            ]
            assert list(part.values(start, stop, reverse=reverse, limit=limit)) == [
                value for _, value in expected
            ]
        for inner in (b"", b"k", b"\xff", b"nothing"):
            expected = [pair for pair in sorted(model.items()) if pair[0].startswith(inner)]
            assert list(part.items(prefix=inner)) == expected

    def test_may_be_nested(self, db: lsmkv.DB) -> None:
        inner = db.prefixed(b"users/").prefixed(b"admins/")
        inner[b"root"] = b"0"
        assert db[b"users/admins/root"] == b"0"
        assert list(inner.scan(reverse=True)) == [(b"root", b"0")]
        inner.put_many([(b"a", b"1"), (b"b", b"2")])
        assert inner.get_many([b"a", b"b"]) == [b"1", b"2"]
        assert list(db.prefixed(b"users/").keys()) == [b"admins/a", b"admins/b", b"admins/root"]

    def test_clear_takes_what_has_the_prefix(self, db: lsmkv.DB) -> None:
        users = db.prefixed(b"users/")
        users.put_many({b"%d" % number: b"x" for number in range(50)})
        admins = users.prefixed(b"admins/")
        admins[b"root"] = b"0"
        flushes = db.stats()["flushes"]
        admins.clear()
        assert len(users) == 50
        users.clear()
        assert len(users) == 0
        assert db.stats()["flushes"] <= flushes + 2
        users[b"again"] = b"1"
        assert dict(users.items()) == {b"again": b"1"}
        last = db.prefixed(b"\xff\xff\xff\xff")
        last[b"x"] = b"1"
        last.clear()
        assert not last

    def test_batches(self, db: lsmkv.DB) -> None:
        users = db.prefixed(b"users/")
        users[b"gone"] = b"x"
        with users.prefixed(b"").write_batch(sync=True) as batch:
            batch.put(bytearray(b"a"), b"1")
            batch[b"b"] = b"2"
            batch.delete(b"gone")
            del batch[b"never there"]
            assert len(batch) == 4
            assert b"a" not in users
        assert dict(users.items()) == {b"a": b"1", b"b": b"2"}
        with pytest.raises(RuntimeError), users.write_batch() as batch:
            batch.put(b"c", b"3")
            raise RuntimeError
        assert b"c" not in users
        batch = users.write_batch()
        batch.put(b"d", b"4")
        batch.write()
        assert users[b"d"] == b"4"
        batch = users.write_batch()
        batch.put(b"e", b"5")
        batch.discard()
        assert b"e" not in users
        users.clear()

    def test_a_failing_put_many_writes_nothing(self, db: lsmkv.DB) -> None:
        users = db.prefixed(b"users/")
        with pytest.raises(TypeError):
            users.put_many([(b"a", b"1"), (b"b", "text")])  # type: ignore[list-item]
        assert not users

    def test_scans_can_be_closed(self, db: lsmkv.DB) -> None:
        users = db.prefixed(b"users/")
        users.put_many({b"a": b"1", b"b": b"2"})
        with users.scan() as scan:
            assert next(scan) == (b"a", b"1")
        with pytest.raises(lsmkv.ClosedError):
            next(scan)
        keys = users.keys()
        keys.close()
        assert db.stats()["pinned_sequences"] == 0
        users.clear()


class TestView:
    def test_is_a_mutable_mapping_of_objects(self, db: lsmkv.DB) -> None:
        view = db.prefixed(b"users/").view(key="utf8", value="json")
        assert isinstance(view, MutableMapping)
        assert not view
        people = {"ada": {"born": 1815}, "björn": [1, None], "": "nobody"}
        view.update(people)
        assert view
        assert len(view) == 3
        assert dict(view.items()) == people
        assert list(view) == sorted(people)
        assert view["ada"] == {"born": 1815}
        assert view.get("none") is None
        assert view.get("none", 3) == 3
        assert view.get_many(["björn", "none"]) == [[1, None], None]
        assert "ada" in view
        view.put("ada", None, sync=True)
        assert view["ada"] is None
        assert "ada" in view
        view.delete("ada")
        del view["björn"]
        with pytest.raises(KeyError) as caught:
            view["björn"]
        assert caught.value.args == ("björn",)
        with pytest.raises(KeyError):
            del view["björn"]
        assert view.popitem() == ("", "nobody")
        assert view != {}
        assert hash(view) == hash(view)
        assert "utf8" in repr(view)

    def test_bounds_in_the_order_of_the_objects(self, db: lsmkv.DB) -> None:
        view = db.prefixed(b"n").view(key="int", value="json")
        numbers = [-(1 << 63), -1000, -1, 0, 1, 255, 256, (1 << 63) - 1]
        view.put_many({number: str(number) for number in numbers})
        assert list(view) == numbers
        assert list(view.keys(-1, 256)) == [-1, 0, 1, 255]
        assert list(view.values(0, reverse=True, limit=2)) == [str(numbers[-1]), "256"]
        assert list(view.scan(-5, 1)) == [(-1, "-1"), (0, "0")]
        view.clear()
        assert not view

    def test_keys_do_not_decode_values(self, db: lsmkv.DB) -> None:
        part = db.prefixed(b"users/")
        part[b"k"] = b"not json"
        view = part.view(key="utf8", value="json")
        assert list(view.keys()) == list(view) == ["k"]
        assert len(view) == 1
        for use in (lambda: list(view.items()), lambda: list(view.values()), lambda: view["k"]):
            with pytest.raises(ValueError):
                use()

    def test_objects_that_do_not_fit(self, db: lsmkv.DB) -> None:
        view = db.prefixed(b"users/").view(key="utf8", value="json")
        for use in (
            lambda: view.put(b"bytes", 1), lambda: view.get(7), lambda: 7 in view,
            lambda: view.put("a", object()), lambda: view.put_many([("a", 1), (b"b", 2)]),
            lambda: view.scan(7), lambda: view.get_many([None]), lambda: view.put("a", {1, 2}),
        ):  # fmt: skip
            with pytest.raises(TypeError):
                use()
        assert not view

    def test_a_prefix_of_text(self, db: lsmkv.DB) -> None:
        view = db.prefixed(b"users/").view(key="utf8", value="bytes")
        view.put_many({"ab": b"1", "abc": b"2", "b": b"3"})
        assert list(view.keys(prefix="ab")) == ["ab", "abc"]
        view.clear()

    def test_codecs_of_ones_own(self, db: lsmkv.DB) -> None:
        upper = Codec("upper", lambda text: text.upper().encode(), lambda data: data.decode())
        view = db.prefixed(b"users/").view(key=upper, value=upper)
        view["a"] = "b"
        assert dict(view.items()) == {"A": "B"}
        assert "upper" in repr(view)
        wrong = Codec("wrong", lambda value: value, lambda data: data)
        with pytest.raises(TypeError):
            db.view(key=wrong)["text"]
        view.clear()

    def test_an_unknown_codec(self, db: lsmkv.DB) -> None:
        for keywords in ({"key": "pickle"}, {"value": "utf-8"}):
            with pytest.raises(lsmkv.OptionsError, match="use one of 'bytes', 'utf8'"):
                db.view(**keywords)
