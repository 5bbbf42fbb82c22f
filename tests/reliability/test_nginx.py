"""The site behind nginx with the configuration of `docs/deploy`, but for names, certificates and ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.raw_connections import send_unread
from tests.reliability.test_slow_connections import HEADER, trickle
from tests.support.served_site import REPOSITORY_ROOT, HttpVisitor, ServedSite, find_free_port, running_site, wait_until

pytestmark = pytest.mark.exhaustive

LARGE = 500_000_000


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSite]:
    """A site whose address is that of nginx in front of it."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("NOT TESTED: there is no nginx.")
    folder = tmp_path_factory.mktemp("nginx")
    with running_site(folder / "site", TRUSTED_PROXY_COUNT="1") as site:
        port = find_free_port()
        (folder / "nginx.conf").write_text(write_configuration(folder, port, int(site.url.rpartition(":")[2])))
        command = [binary, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "daemon off;"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        proxied = ServedSite(f"http://127.0.0.1:{port}", site.process, site.log, site.instance)
        try:
            wait_until(proxied.is_alive, what="The start of nginx")
            yield proxied
        finally:
            process.terminate()
            process.wait(30)


def write_configuration(folder: Path, port: int, site_port: int) -> str:
    """The deployed configuration without HTTPS, on these ports and for any host."""
    text = (REPOSITORY_ROOT / "docs" / "deploy" / "nginx.conf").read_text()
    text = re.sub(r"server \{\n    listen 80;.*?\n\}\n", "", text, flags=re.DOTALL)
    text = re.sub(r"    (listen \[|ssl_certificate|add_header Strict).*\n", "", text)
    text = re.sub(r"listen 443 [^;]*;", f"listen 127.0.0.1:{port};", text)
    text = re.sub(r"server_name [^;]*;", "server_name localhost;", text)
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{site_port}")
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{ worker_connections 4096; }} http {{ {paths}\n{text}\n}}"
    )


def test_question_is_answered(proxied: ServedSite) -> None:
    visitor = HttpVisitor(proxied.url)
    conversation = visitor.post_question("/say Hello from behind", "token")
    wait_until(lambda: "Hello from behind" in visitor.get(f"/conversations/{conversation}"), what="The answer")


def test_upload_is_refused_before_it_is_sent(proxied: ServedSite) -> None:
    head = (
        f"POST /imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        f"Content-Length: {LARGE}\r\n\r\n--edge"
    )
    with send_unread(proxied, head.encode()) as [connection]:
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


def test_slow_connections_are_closed(proxied: ServedSite) -> None:
    with trickle(proxied, *[HEADER] * 250) as send_letters:
        assert proxied.is_alive()
        wait_until(lambda: send_letters() == 0, what="The end of the slow requests")
    assert proxied.is_alive()


def test_flood_is_held_off(proxied: ServedSite) -> None:
    """More requests at once than nginx admits for one address are refused by nginx, and then admitted again."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with send_unread(proxied, request * 600) as [connection]:
        received = b""
        while received.count(b"HTTP/1.1 ") < 600:
            data = connection.recv(65536)
            assert data
            received += data
    assert received.count(b"HTTP/1.1 200") >= 300
    assert received.count(b"HTTP/1.1 429") > 0
    wait_until(proxied.is_alive, what="The next page")
