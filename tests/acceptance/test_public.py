"""Stage `public` as a whole: it starts with everything there and says what is missing; TLS, guests, keys."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from whole_product import ANSWER_SECONDS, COMMAND, START_SECONDS, STOP_SECONDS, environment

from dragoman.accounts.pepper import Pepper
from dragoman.admin.people import NewPasskey, People
from dragoman.ids import new_id
from dragoman.stores.admins import SqlAdmins
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.testing.ports import free_port
from dragoman.testing.provider import FakeProvider, Script, whole

GUEST_TURNS_PER_MINUTE = 3
ASKED = [{"role": "user", "content": "How long may I return an item?"}]


def certificate(folder: Path) -> None:
    """Write `chain.pem` and `key.pem` for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def enrol(data: Path) -> None:
    """An operator with a passkey, as the page of the one-time link leaves it."""
    data.mkdir(mode=0o700)
    migrate(data / "zone.db")
    database = Database(data / "zone.db")
    people = People(SqlAdmins(database, "local"), Pepper(b"p" * 32), "local")
    made = people.invite("cli", "operator")
    people.enrol(made.text, new_id("adm", "local"), NewPasskey("cred", "key", 0, "laptop"))
    database.close()


@dataclass
class Public:
    """A zone that faces others, and how it is called."""

    folder: Path
    port: int
    file: Path

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.folder / "chain.pem"))
        return httpx.Client(base_url=f"https://localhost:{self.port}", verify=trust, timeout=ANSWER_SECONDS)

    def serve(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "serve", "--config", str(self.file), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )


@pytest.fixture
def zone(tmp_path: Path, provider: FakeProvider) -> Public:
    certificate(tmp_path)
    port = free_port()
    file = tmp_path / "dragoman.toml"
    file.write_text(
        f"""
[deployment]
stage = "public"
[zone]
data = "data"
listen = "0.0.0.0:{port}"
admin_listen = "127.0.0.1:{free_port()}"
public_url = "https://localhost:{port}"
[edge]
certificate = "chain.pem"
key = "key.pem"
guest_turns_per_minute = {GUEST_TURNS_PER_MINUTE}
[admin]
listen = "off"
[providers.own]
base_url = "{provider.url}"
[models.own]
provider = "own"
model = "m"
""",
        encoding="utf-8",
    )
    return Public(tmp_path, port, file)


@pytest.fixture
def served(zone: Public) -> Iterator[Public]:
    enrol(zone.folder / "data")
    child = zone.serve()
    assert child.stdout
    line = child.stdout.readline()
    assert line, child.communicate(timeout=START_SECONDS)[1][-3000:]
    assert json.loads(line)["key"] is None, "no development key is minted"
    yield zone
    child.terminate()
    child.communicate(timeout=STOP_SECONDS)
    assert child.returncode == 0


def test_without_an_administrator_it_does_not_start_and_says_the_command(zone: Public) -> None:
    said = zone.serve().communicate(timeout=START_SECONDS)[1]
    assert "dragoman admin invite" in said
    enrol(zone.folder / "data")
    text = zone.file.read_text(encoding="utf-8")
    zone.file.write_text(text.replace('certificate = "chain.pem"\nkey = "key.pem"\n', ""), encoding="utf-8")
    said = zone.serve().communicate(timeout=START_SECONDS)[1]
    assert "edge.certificate" in said
    zone.file.write_text(text.replace("chain.pem", "none.pem"), encoding="utf-8")
    said = zone.serve().communicate(timeout=START_SECONDS)[1]
    assert "none.pem" in said


def test_guests_get_the_built_in_provider_from_one_pool_and_keys_get_the_rest(
    served: Public, provider: FakeProvider
) -> None:
    before = len(provider.seen)
    provider.scripts[ASKED[-1]["content"]] = Script([whole("from afar")], content_type="application/json")
    with served.client() as client:
        page = client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        cookie = page.headers["set-cookie"]
        assert {"Secure", "HttpOnly"} <= set(cookie.split("; "))
        origin = {"origin": f"https://localhost:{served.port}"}

        def ask(model: str, **headers: str) -> httpx.Response:
            body = {"model": model, "messages": ASKED}
            return client.post("/v1/chat/completions", json=body, headers={**origin, **headers})

        answer = ask("dragoman").json()["choices"][0]
        assert answer["finish_reason"] == "stop", answer
        assert "30" in answer["message"]["content"]
        refused = ask("own").json()["choices"][0]
        assert refused["finish_reason"] == "content_filter"
        assert "Guests are answered from this server's own documents only" in refused["message"]["content"]
        wrong = client.post(
            "/v1/chat/completions",
            json={"model": "dragoman", "messages": ASKED},
            headers={"origin": f"http://localhost:{served.port}"},
        )
        assert wrong.status_code == 403, "the same name without TLS is another origin"
        used = [ask("dragoman") for _ in range(5 * GUEST_TURNS_PER_MINUTE)]
        over = [one.json()["error"]["code"] for one in used if one.status_code == 429]
        assert set(over) == {"guest_pool_empty"}
    assert len(provider.seen) == before
    made = subprocess.run(
        [COMMAND, "keys", "create", "--config", str(served.file), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
        timeout=START_SECONDS,
    )
    with served.client() as client:
        key = {"authorization": f"Bearer {json.loads(made.stdout)['text']}"}
        body = {"model": "own", "messages": ASKED}
        assert client.post("/v1/chat/completions", json=body, headers=key).status_code == 200
        other = client.get("/", headers={"host": "evil.example"})
        assert other.status_code == 421
    assert len(provider.seen) == before + 1
