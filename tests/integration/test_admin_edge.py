"""The admin listener at other addresses: TLS, trusted proxies, bounded connections, and who may listen where."""

from __future__ import annotations

import datetime as dt
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dragoman.control import admin_listener, bounded
from dragoman.control.app import Control
from dragoman.errors import ConfigError
from dragoman.settings import load
from dragoman.testing.ports import free_port

Serving = Callable[..., Any]


def certificate(folder: Path, name: str = "one") -> None:
    """A self-signed certificate for localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """`with serving(admin) as port`: a control with this `[admin]` table, `{port}` filled in."""

    @contextmanager
    def serve(admin: str) -> Iterator[int]:
        port = free_port()
        zone = f'[zone]\ndata = "d"\nadmin_listen = "127.0.0.1:{free_port()}"\n'
        file = tmp_path / "dragoman.toml"
        file.write_text(zone + "[admin]\n" + admin.format(port=port), encoding="utf-8")
        control = Control(file)
        control.open_admin()
        control.start()
        yield port
        control.stop()

    return serve


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


def over_tls(folder: Path, port: int) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPSConnection("localhost", port, context=trusting(folder), timeout=30)
    with closing(connection):
        connection.request("GET", "/login", headers={"accept": "text/html"})
        peer = connection.sock.getpeercert()
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, peer


def test_tls_is_spoken_and_a_renewed_certificate_used(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_listener, "CERTIFICATE_SECONDS", 0.05)
    certificate(tmp_path)
    admin = 'listen = "0.0.0.0:{port}"\npublic_url = "https://localhost:{port}"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n'
    with serving(admin) as port:
        status, headers, peer = over_tls(tmp_path, port)
        assert status == 200
        assert headers["strict-transport-security"].startswith("max-age=")
        assert "__Host-dragoman_admin" in headers["set-cookie"]
        assert "one" in str(peer)
        with closing(socket.create_connection(("127.0.0.1", port), 30)) as plain:
            plain.sendall(b"GET /login HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP"), "no plain HTTP beside TLS"
        certificate(tmp_path, "two")
        deadline = time.monotonic() + 60
        while True:
            try:
                assert "two" in str(over_tls(tmp_path, port)[2])
                break
            except (ssl.SSLError, AssertionError):
                assert time.monotonic() < deadline


def test_a_proxy_in_front_is_believed_and_nobody_else(serving: Serving) -> None:
    admin = 'listen = "0.0.0.0:{port}"\npublic_url = "https://admin.example.org"\ntrusted_proxies = ["127.0.0.2/32"]\n'
    with serving(admin) as port:

        def ask(source: str, **headers: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
            with closing(connection):
                sent = {"host": "admin.example.org", "accept": "text/html"}
                connection.request(
                    "GET",
                    headers.pop("path", "/login"),
                    headers=sent | {k.replace("_", "-"): v for k, v in headers.items()},
                )
                return connection.getresponse().status

        assert ask("127.0.0.2", x_forwarded_for="203.0.113.9") == 200
        assert ask("127.0.0.1") == 421, "round the proxy"
        assert ask("127.0.0.1", x_forwarded_for="203.0.113.9") == 421
        assert ask("127.0.0.2", x_forwarded_for="127.0.0.1", path="/metrics") == 303, (
            "never near behind a proxy"
        )


def test_connections_are_bounded(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "CONNECTIONS_EACH", 3)
    with serving('listen = "127.0.0.1:{port}"\n') as port:
        held = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(3)]
        for one in held:  # an answer shows that it was taken
            one.sendall(f"GET /static/page.css HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n".encode())
            assert one.recv(12) == b"HTTP/1.1 200"
        with closing(socket.create_connection(("127.0.0.1", port), 30)) as further:
            try:
                refused = further.recv(1)
            except ConnectionResetError:
                refused = b""
            assert refused == b""
        for one in held:
            one.close()


def test_a_handshake_that_never_ends_is_paced(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_listener, "ACCEPTED_A_MINUTE", 0)
    certificate(tmp_path)
    admin = 'listen = "127.0.0.1:{port}"\npublic_url = "https://localhost:{port}"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n'
    with serving(admin) as port, pytest.raises((OSError, http.client.HTTPException)):
        over_tls(tmp_path, port)


def test_a_taken_port_is_told(serving: Serving, tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(ConfigError, match=r"admin\.listen: cannot listen"),
            serving(f'listen = "{address}"\n'),
        ):
            pass


def test_a_token_file_that_cannot_serve_is_told_at_the_start(serving: Serving, tmp_path: Path) -> None:
    admin = 'listen = "127.0.0.1:{port}"\nmetrics_token_file = "scrape"\n'
    (tmp_path / "scrape").write_text("a-token-for-the-scraper\n", encoding="utf-8")
    with serving(admin) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as one:
        one.request("GET", "/metrics", headers={"authorization": "Bearer a-token-for-the-scraper"})
        assert one.getresponse().status == 200, "the negative control"
    (tmp_path / "scrape").unlink()
    with pytest.raises(ConfigError, match=r"scrape: cannot be read .*; write a random text"), serving(admin):
        pass


@pytest.mark.parametrize(
    "admin",
    [
        'listen = "0.0.0.0:9443"',
        'listen = "[::]:9443"',
        'listen = "192.0.2.1:9443"\npublic_url = "https://a.example"',
    ],
)
def test_an_open_address_without_tls_is_refused(tmp_path: Path, admin: str) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text(f"[admin]\n{admin}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="tls_cert and tls_key, or trusted_proxies"):
        load(file)


def test_off_is_off(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text(
        f'[zone]\ndata = "d"\nadmin_listen = "127.0.0.1:{free_port()}"\n[admin]\nlisten = "off"\n',
        encoding="utf-8",
    )
    control = Control(file)
    control.open_admin()
    assert control.admin is None
    assert control.first_link() is None
    control.start()
    control.stop()
