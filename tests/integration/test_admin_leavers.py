"""Log-ins by an identity provider end in time: who left the organisation is out, whoever is still let in comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dragoman.control.app import Control
from dragoman.testing.oidc import FakeOidc, served_oidc
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Answer, Visitor

MINUTES = 20
CONFIG = """
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[admin.oidc]
issuer = "{issuer}"
client_id = "dragoman"
session_minutes = {minutes}
allow = [{{ role = "operator", subject = "user-1" }}]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeOidc]:
    with served_oidc() as fake:
        yield fake


@pytest.fixture(scope="module")
def control(provider: FakeOidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    file = tmp_path_factory.mktemp("o") / "dragoman.toml"
    text = CONFIG.format(listen=free_port(), admin=free_port(), issuer=provider.issuer, minutes=MINUTES)
    Path(file).write_text(text, encoding="utf-8")
    control = Control(file)
    control.open_admin()
    control.start()
    yield control
    control.stop()


def log_in(visitor: Visitor, provider: FakeOidc) -> Answer:
    visitor.page("/login")
    sent = visitor.ask("GET", "/login/oidc", accept="text/html")
    back = urlsplit(provider.allow(sent.headers["location"]))
    return visitor.ask("GET", f"{back.path}?{back.query}", accept="text/html")


def age(control: Control, minutes: int) -> None:
    older = f"UPDATE admin_sessions SET created_at = created_at - {minutes * 60_000}"
    control.core.database.write(lambda c: c.exec_driver_sql(older))


def test_the_provider_is_asked_again_in_time(control: Control, provider: FakeOidc) -> None:
    assert control.admin is not None
    port = int(control.admin.origin.rpartition(":")[2])
    person, other = Visitor(port), Visitor(port)
    assert other.enrol(f"x#{control.core.people.invite('cli', 'operator', None, None).text}").status == 200
    log_in(person, provider)
    age(control, MINUTES - 1)
    assert person.page("/keys").status == 200, "the control: it is in"
    age(control, 2)
    out = person.page("/keys")
    assert (out.status, urlsplit(out.headers["location"]).path) == (303, "/login")
    assert person.ask("GET", "/admin/v1/keys").status == 401
    assert other.page("/keys").status == 200, "the control: a passkey's log-in lasts as long as it did"
    provider.claims = {"sub": "somebody-else"}
    assert log_in(person, provider).code == "not_let_in"
    assert person.page("/keys").status == 303
    provider.claims = {}
    log_in(person, provider)
    assert person.page("/keys").status == 200, "whoever is still let in comes back"
