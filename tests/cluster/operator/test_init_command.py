"""What `lsmkv cluster init`, `certificate` and `passwd` make is what a node then starts from."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsmkv.cli.arguments import UsageError
from lsmkv_cluster.config.cluster_file import load_cluster_file
from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.users import load_users
from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.operator.command_line import register

Run = Callable[..., str]


@pytest.fixture
def run(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Runs `lsmkv cluster ...` in an empty directory; what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_command(*argv: str, stdin: str = "") -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        arguments = parser.parse_args(["cluster", *argv])
        assert arguments.run(arguments) == 0
        return capsysbinary.readouterr().out.decode()

    return run_command


def test_a_cluster_is_made_with_what_was_asked_for(run: Run) -> None:
    printed = run("init", "--replicas", "east=3,west=2", "--partitions", "64", "--out", "a/c.toml")
    cluster = load_cluster_file(Path("a/c.toml"))
    assert cluster.partition_count == 64
    assert cluster.replicas == (("east", 3), ("west", 2))
    assert cluster.tls is None
    assert cluster.cluster_id.hex() in printed
    assert "--cluster-file a/c.toml" in printed
    assert cluster.secret.hex() not in printed


def test_without_more_it_is_three_copies_in_1024_partitions(run: Run) -> None:
    made = json.loads(run("init", "--json"))
    cluster = load_cluster_file(Path("cluster.toml"))
    assert (cluster.replicas_each, cluster.partition_count) == (3, 1024)
    assert made == {
        "file": "cluster.toml",
        "cluster_id": cluster.cluster_id.hex(),
        "partitions": 1024,
        "replicas": 3,
        "tls": False,
        "nodes": [],
    }


def test_a_cluster_is_never_overwritten(run: Run) -> None:
    run("init")
    before = Path("cluster.toml").read_bytes()
    with pytest.raises(FileExistsError):
        run("init")
    assert Path("cluster.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--replicas", "many"], UsageError),
        (["--replicas", "east=x"], UsageError),
        (["--replicas", "0"], ConfigError),
        (["--replicas", "99"], ConfigError),
        (["--partitions", "100"], ConfigError),
        (["--node", "n1"], UsageError),
        (["--tls", "--node", "a b"], UsageError),
        (["--tls", "--node", "ca"], UsageError),
    ],
)
def test_what_cannot_be_leaves_nothing(
    run: Run, tmp_path: Path, argv: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run("init", *argv)
    assert list(tmp_path.iterdir()) == []


class TestCertificates:
    def test_each_node_gets_its_own_and_more_can_be_made(self, run: Run) -> None:
        pytest.importorskip("cryptography")
        from lsmkv_cluster.config.tls import peer_contexts, server_context

        run("init", "--tls", "--node", "n1=10.0.0.1,db.example", "--node", "n2")
        run("certificate", "n3=10.0.0.3")
        tls = load_cluster_file(Path("cluster.toml")).tls
        assert tls is not None
        for name in ("n1", "n2", "n3"):
            peer_contexts(tls.of_node(name))
            server_context(tls.of_node(name))
        modes = {path.name: path.stat().st_mode & 0o777 for path in Path("tls").iterdir()}
        assert {name for name, mode in modes.items() if mode == 0o600} == {
            "ca.key",
            "n1.key",
            "n2.key",
            "n3.key",
        }

    def test_those_of_a_node_are_not_overwritten(self, run: Run) -> None:
        pytest.importorskip("cryptography")
        run("init", "--tls", "--node", "n1")
        before = Path("tls/n1.pem").read_bytes()
        with pytest.raises(FileExistsError):
            run("certificate", "n1")
        assert Path("tls/n1.pem").read_bytes() == before

    def test_a_cluster_without_them_says_how_to_get_them(self, run: Run) -> None:
        run("init")
        with pytest.raises(ConfigError, match="init --tls"):
            run("certificate", "n1")

    def test_without_the_extra_it_says_which(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "cryptography", None)
        monkeypatch.delitem(sys.modules, "lsmkv_cluster.config.certificates", raising=False)
        with pytest.raises(ConfigError, match=r"pip install 'lsmkv\[certs\]'"):
            run("init", "--tls")
        assert list(tmp_path.iterdir()) == []


class TestPasswd:
    def test_its_line_lets_somebody_in(self, run: Run, tmp_path: Path) -> None:
        line = run("passwd", "ada", "--role", "write", stdin="love lace\nmore\n")
        assert line.count("\n") == 1
        assert "love" not in line
        write_file(tmp_path / "users.toml", line.encode())
        assert load_users(tmp_path / "users.toml").check("ada", b"love lace") is Role.WRITE

    def test_no_password_makes_no_line(self, run: Run) -> None:
        with pytest.raises(ValueError, match="1 to 1024 bytes"):
            run("passwd", "ada")
