"""Keys of one secret: the same on all nodes, different for each use, cluster and secret."""

from __future__ import annotations

from hashlib import blake2b

from lsmkv_cluster.config.cluster_keys import derive_keys

SECRET, CLUSTER_ID = bytes(range(32)), b"c" * 16


def test_keys_are_what_the_rule_says():
    keys = derive_keys(SECRET, CLUSTER_ID)
    person = b"lsmkv gossip 1"
    expected = blake2b(CLUSTER_ID, digest_size=32, key=SECRET, person=person).digest()
    assert keys.datagrams == expected
    assert derive_keys(SECRET, CLUSTER_ID) == keys


def test_no_key_is_another():
    keys = [
        key
        for secret, cluster_id in (
            (SECRET, CLUSTER_ID),
            (SECRET, b"d" * 16),
            (bytes(32), CLUSTER_ID),
        )
        for made in [derive_keys(secret, cluster_id)]
        for key in (made.contexts, made.datagrams, made.peers)
    ]
    assert len(set(keys)) == 9
    assert {len(key) for key in keys} == {32}


def test_the_password_of_the_cluster_is_fit_for_a_command_line():
    keys = derive_keys(SECRET, CLUSTER_ID)
    assert keys.password == keys.peers.hex().encode()


def test_keys_do_not_show():
    keys = derive_keys(SECRET, CLUSTER_ID)
    assert keys.contexts.hex() not in repr(keys)
    assert "contexts=" not in repr(keys)
