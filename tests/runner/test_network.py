"""gunicorn on all networks, in a sub-path, under the usual umask: what it answers to, prints, believes and stores."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.core.test_private_files import readable_by_others
from tests.support.served_site import HttpVisitor, ServedSite, running_site


def has_ipv6() -> bool:
    """Whether this machine has a loopback address of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site with a fresh instance that listens on all addresses."""
    host = "::" if has_ipv6() else "0.0.0.0"
    with running_site(tmp_path_factory.mktemp("network") / "instance", host=host, BASE_PATH="/chat") as served:
        HttpVisitor(served.url).post_question("Hello", "key")
        yield served


def get(site: ServedSite, path: str, address: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
    """Request a path from an address of this machine; returns status and body."""
    connection = http.client.HTTPConnection(address, urlsplit(site.url).port or 80, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_every_address_of_the_machine_is_answered(site: ServedSite) -> None:
    assert get(site, "/chat/healthz")[0] == 200
    assert get(site, "/chat/healthz", Host="192.168.1.5:9000")[0] == 200
    assert get(site, "/chat/healthz", Host="LOCALHOST.")[0] == 200
    assert get(site, "/chat/healthz", Host="evil.example")[0] == 400
    if has_ipv6():
        assert get(site, "/chat/healthz", "::1")[0] == 200


def test_printed_addresses_are_answered(site: ServedSite) -> None:
    local, *others = re.findall(r"http://\S+", site.log.read_text())
    assert local == f"{site.url}/"
    for url in [local, *others]:
        parts = urlsplit(url)
        assert get(site, parts.path, parts.hostname or "", Host=parts.netloc)[0] == 200, url


def test_client_chooses_no_prefix(site: ServedSite) -> None:
    """gunicorn believes these of this machine by default, and so of everybody behind a proxy that passes them on."""
    loopback = "::1" if has_ipv6() else "127.0.0.1"
    for name in ("SCRIPT_NAME", "PATH_INFO", "X-Forwarded-Prefix", "X-Script-Name"):
        status, page = get(site, "/chat/overview", loopback, **{name: "/chat/evil"})
        assert status == 200, name
        assert "evil" not in page
        assert 'href="/chat/overview"' in page


def test_workers_and_runner_create_private_files(site: ServedSite) -> None:
    processes = [*site.list_workers(), *site.list_runners()]
    assert len(processes) == 3
    for process in processes:
        assert "Umask:\t0077" in Path(f"/proc/{process.pid}/status").read_text(), process.cmdline()


def test_no_file_of_a_fresh_instance_is_readable_by_others(site: ServedSite) -> None:
    assert {"chatsite.db", "secret_key"} <= {path.name for path in site.instance.iterdir()}
    # The test made the folder itself and the log.
    expected = {f" {site.instance.name}", " site.log"}
    assert [entry for entry in readable_by_others(site.instance) if not entry.endswith(tuple(expected))] == []
