"""nginx and Caddy with the configurations of `docs/deploy`, in which only addresses and certificates are replaced."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from chatsite.settings import ROOT
from tests.support.served_site import ServedSite, find_free_port, wait_until

DEPLOY = ROOT / "docs" / "deploy"
HOST = "chat.example.org"
NGINX_HEAD = """{user}worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; types {{ text/html html; }} gzip on; gzip_proxied any;
"""
CADDY_OPTIONS = "\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\tservers {"


def require_program(name: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        pytest.skip(f"NOT TESTED BEHIND {name.upper()}: it is not installed.")
    return path


@contextmanager
def running_nginx(folder: Path, site: ServedSite) -> Iterator[int]:
    """Run nginx with `nginx.conf` in front of a site while the block runs; gives its HTTPS port."""
    port = find_free_port()
    _create_certificate(folder)
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"listen (\[::\]:)?80;", f"listen 127.0.0.1:{find_free_port()};", text, count=1)
    text = re.sub(r"listen \[::\]:(80|443).*\n", "\n", text).replace("listen 443", f"listen 127.0.0.1:{port}")
    text = text.replace(f"/etc/letsencrypt/live/{HOST}", str(folder))
    with _run_nginx(folder, text, site, port):
        yield port


@contextmanager
def running_nginx_in_sub_path(folder: Path, site: ServedSite) -> Iterator[int]:
    """Run nginx with `nginx.subpath.conf` in front of a site while the block runs; gives its HTTP port."""
    port = find_free_port()
    locations = (DEPLOY / "nginx.subpath.conf").read_text(encoding="utf-8")
    surrounding = "\n".join(re.findall(r"^#   (.+)$", locations, re.MULTILINE))
    server = f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 'another site'; }}\n{locations}\n}}"
    # The port of a test is not the usual one, so the host needs it.
    server = server.replace("Host $host", "Host $http_host")
    with _run_nginx(folder, f"{surrounding}\n{server}", site, port):
        yield port


@contextmanager
def running_caddy(folder: Path, site: ServedSite) -> Iterator[int]:
    """Run Caddy with the Caddyfile in front of a site while the block runs; gives its HTTPS port."""
    port = find_free_port()
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8000", urlsplit(site.url).netloc).replace("\tservers {", CADDY_OPTIONS)
    text = text.replace(f"{HOST} {{", f"https://{HOST}:{port} {{\n\ttls internal")
    (folder / "Caddyfile").write_text(text)
    environ = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    command = [require_program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running(command, folder, port, environ):
        yield port


@contextmanager
def _run_nginx(folder: Path, text: str, site: ServedSite, port: int) -> Iterator[None]:
    user = "user root; " if os.geteuid() == 0 else ""
    text = text.replace("127.0.0.1:8000", urlsplit(site.url).netloc.replace("localhost", "127.0.0.1"))
    (folder / "nginx.conf").write_text(NGINX_HEAD.format(user=user, folder=folder) + text + "\n}\n")
    command = [require_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with _running(command, folder, port, dict(os.environ)):
        yield


@contextmanager
def _running(command: list[str], folder: Path, port: int, environ: dict[str, str]) -> Iterator[None]:
    log = folder / "proxy.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        wait_until(lambda: _accepts(port) or process.poll() is not None, what=f"The start of the proxy ({log})")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def _create_certificate(folder: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj"
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*command.split(), f"/CN={HOST}", *files], check=True, capture_output=True)


class _Connection(http.client.HTTPSConnection):
    """A connection to a port of this machine that asks for HOST and takes any certificate."""

    def connect(self) -> None:
        """Connect without looking the name up."""
        context = ssl._create_unverified_context()
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 60), server_hostname=HOST)


@dataclass(frozen=True)
class ProxyResponse:
    """A response that was read to its end."""

    status: int
    headers: Message
    text: str


@dataclass
class ProxyVisitor:
    """A browser without JavaScript behind a proxy with HTTPS."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def open(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> ProxyResponse:
        """Send a request, and keep the cookies that come back."""
        with self.opened(method, path, body, headers) as response:
            for line in response.headers.get_all("Set-Cookie") or []:
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            return ProxyResponse(response.status, response.headers, response.read().decode(errors="replace"))

    @contextmanager
    def opened(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; gives the response with its body unread."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with closing(_Connection(HOST, self.port)) as connection:
            connection.request(method, path, body, {"Host": HOST, "Cookie": cookie, **(headers or {})})
            with connection.getresponse() as response:
                yield response

    def post(self, path: str, **form: str) -> ProxyResponse:
        """Send a form with the CSRF token of the front page."""
        token = re.findall(r'name="csrf_token" value="([^"]+)"', self.open("GET", "/").text)[0]
        body = urlencode({"csrf_token": token, **form}).encode()
        return self.open("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
