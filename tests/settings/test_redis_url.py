"""How REDIS_URL is read for Clusters and Sentinels: what it names, and what is refused without showing it."""

from __future__ import annotations

import pytest

from presence_svc.errors import Misconfigured
from presence_svc.settings import load
from presence_svc.settings.redis import pairs
from presence_svc.settings.redis_url import parse


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    """Hosts by comma, each with its port or the usual one; login and options hold for all."""
    found = parse("rediss+cluster://user:p%2Cw@h1:7001,h2,[::1]:7003/0?ssl_cert_reqs=none")

    assert found is not None
    assert found.kind == "cluster"
    assert found.hosts == (("h1", 7001), ("h2", 6379), ("::1", 7003))
    assert found.server(found.hosts[0]) == "rediss://user:p%2Cw@h1:7001/0?ssl_cert_reqs=none"
    assert found.server(found.hosts[2]) == "rediss://user:p%2Cw@[::1]:7003/0?ssl_cert_reqs=none"


def test_sentinels_have_logins_and_tls_of_their_own() -> None:
    """What begins with sentinel_ is theirs; TLS holds for both unless it is said otherwise."""
    found = parse(
        "rediss+sentinel://user:pw@s1,s2:26380/mymaster/2"
        "?sentinel_username=watch&sentinel_password=x%26y&ssl_ca_certs=/ca.pem"
    )
    plain = parse("rediss+sentinel://s1/mymaster?sentinel_tls=no&ssl_ca_certs=/ca.pem")

    assert found is not None
    assert plain is not None
    assert (found.kind, found.service, found.db) == ("sentinel", "mymaster", "2")
    assert found.hosts == (("s1", 26379), ("s2", 26380))
    assert found.server(("10.0.0.1", 6380)) == "rediss://user:pw@10.0.0.1:6380/2?ssl_ca_certs=%2Fca.pem"
    assert found.sentinel(("s1", 26379)) == (
        "rediss://s1:26379/0?ssl_ca_certs=%2Fca.pem&username=watch&password=x%26y"
    )
    assert plain.sentinel(("s1", 26379)) == "redis://s1:26379/0"
    assert plain.server(("m", 1)) == "rediss://m:1/0?ssl_ca_certs=%2Fca.pem"


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://h1:7001/1",
        "redis+cluster://h1:7001/0/x",
        "redis+cluster://h1:hunter2",
        "redis+cluster://h1:0",
        "redis+cluster://h1:70000",
        "redis+cluster://h1,,h2",
        "redis+cluster://h1, h2",
        "redis+cluster://:hunter2/x@h1",
        "redis+cluster://:hunter2#x@h1",
        "redis+cluster://:hunter2?x@h1",
        "redis+cluster://h1#hunter2",
        "redis+sentinel://s1",
        "redis+sentinel://s1/",
        "redis+sentinel://s1/mymaster/hunter2",
        "redis+sentinel://s1/mymaster/0/1",
        "redis+sentinel://s1/mymaster?x=1@hunter2",
        "unix+cluster:///tmp/x",
        "http+cluster://h1",
        "redis+proxy://h1",
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The message names the setting and never shows a part of a password."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", url)

    with pytest.raises(Misconfigured, match=r"^PRESENCE_REDIS_URL: must be redis://") as refused:
        load()

    assert "hunter2" not in refused.value.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARTITIONS", "0"),
        ("PARTITIONS", "100"),
        ("PARTITIONS", "8192"),
        ("PUBSUB", "both"),
        ("REDIS_CREDENTIALS", "module"),
        ("REDIS_CREDENTIALS", "os.system('x')"),
        ("REDIS_ADDRESSES", "10.0.0.5:6379"),
        ("REDIS_ADDRESSES", "10.0.0.5=h:1"),
        ("REDIS_ADDRESSES", "10.0.0.5:6379=h:x"),
    ],
)
def test_settings_of_a_cluster_are_checked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Each refusal names its variable."""
    monkeypatch.setenv(f"PRESENCE_{name}", value)

    with pytest.raises(Misconfigured, match=f"^PRESENCE_{name}: "):
        load()


def test_addresses_are_mapped() -> None:
    """What nodes announce, and where that is reached."""
    assert pairs("10.0.0.5:6379=localhost:7001, [fd00::1]:1=h:2") == {
        ("10.0.0.5", 6379): ("localhost", 7001),
        ("fd00::1", 1): ("h", 2),
    }


@pytest.mark.parametrize(
    ("url", "pubsub", "sharded"),
    [
        ("redis://h", "auto", False),
        ("redis+sentinel://s/m", "auto", False),
        ("redis+cluster://h", "auto", True),
        ("redis+cluster://h", "global", False),
        ("redis://h", "sharded", True),
    ],
)
def test_a_cluster_publishes_to_shards(url: str, pubsub: str, sharded: bool) -> None:
    """PUBSUB=auto is sharded on a Cluster, and what it was elsewhere."""
    assert load(redis_url=url, pubsub=pubsub).is_sharded is sharded
