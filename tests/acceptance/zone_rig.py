"""Two whole zones, each a namespace of its own with its provider's host beside it, and the people who use them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import signal
import string
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from whole_product import COMMAND, START_SECONDS, STOP_SECONDS, environment, pid_of
from zone_net import Forward, Network
from zone_scan import Mark

from dragoman.accounts.pepper import Pepper
from dragoman.admin.people import NewPasskey, People
from dragoman.ids import new_id
from dragoman.stores.admins import SqlAdmins
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.testing.collector import FakeCollector
from dragoman.testing.mmdb import mmdb
from dragoman.testing.provider import DONE, SSE, FakeProvider, Script, chunk
from dragoman.testing.sms import FakeSms
from dragoman.testing.visitor import Visitor

PORT, ADMIN_PORT = 8080, 9081
NEAR, SPARE, SMS, COLLECTOR = WAYS_OUT = 7001, 7002, 7003, 7004
CLIENTS = "clients"
ANSWER = Script(
    [
        chunk({"role": "assistant", "content": "Bring it back within thirty days."}),
        chunk({}, finish="stop"),
        DONE,
    ],
    content_type=SSE,
)
BROKEN = Script([b"no"], status=503, content_type="text/plain")
PROBE_SECONDS = 0.1


@dataclass(frozen=True)
class Place:
    """What differs between the two: names, country, the addresses and numbers of its people."""

    id: str
    provider: str
    country: str
    addresses: str
    dial: str
    digits: int
    """How many follow `dial` in a number of its people, all of a range for mobile phones."""

    @property
    def url(self) -> str:
        return f"https://{self.id}.example"


PLACES = (
    Place("west", "westmodel", "SG", "198.51.100", "+6581", 6),
    Place("east", "eastmodel", "JP", "203.0.113", "+81901", 7),
)
NAMES = (*(place.id for place in PLACES), *(place.provider for place in PLACES), CLIENTS)
CONFIG = """
[deployment]
stage = "public"
name = "Lamps"
seat = "{country}"
contact = "{url}/appeals"
[zone]
id = "{id}"
country = "{country}"
data = "data"
listen = "{address}:8080"
public_url = "{url}"
[zones.{other}]
address = "{other_url}"
countries = ["{other_country}"]
[edge]
trusted_proxies = ["{clients}/32"]
address_files = ["places.mmdb"]
guest_turns_per_minute = 100000
requests_per_minute = 1000000
address_requests_per_minute = 1000000
[admin]
listen = "127.0.0.1:9081"
[log]
level = "debug"
[telemetry]
otlp_endpoint = "http://127.0.0.1:7004"
country = "{country}"
[sms]
url = "http://127.0.0.1:7003/messages"
country = "{country}"
models = ["main", "spare"]
prefix_per_hour = 100000
prefix_per_day = 100000
[tenants.default]
staff_residence = "{country}"
staff_adults = true
[providers.near]
base_url = "http://127.0.0.1:7001/v1"
countries = ["{country}"]
[providers.far]
base_url = "http://127.0.0.1:7002/v1"
countries = ["{country}"]
[models.main]
provider = "near"
model = "m"
fallbacks = ["spare"]
[models.spare]
provider = "far"
model = "m"
[sources.help]
owner = "Lamps"
licence = "CC-BY-4.0"
readers = ["public"]
"""


@dataclass
class Host:
    """What stands beside a zone: two providers, an SMS gateway, a collector; and the zone's ways to them."""

    near: FakeProvider
    spare: FakeProvider
    sms: FakeSms
    collector: FakeCollector


@contextlib.contextmanager
def provider_host(network: Network, place: Place) -> Iterator[Host]:
    """The host, served, and the zone's ways out to it: a port of its own loopback for each."""
    with ExitStack() as stack:
        with network.inside(place.provider):
            host = Host(FakeProvider(ANSWER), FakeProvider(ANSWER), FakeSms(), FakeCollector())
            for one in (host.near, host.spare, host.sms, host.collector):
                stack.enter_context(closing(one))
            ports = {
                NEAR: host.near.port,
                SPARE: host.spare.port,
                SMS: host.sms.port,
                COLLECTOR: int(host.collector.url.rpartition(":")[2]),
            }
            here = network.address(place.provider)
            for port, to in ports.items():
                stack.enter_context(closing(Forward((here, port), ("127.0.0.1", to))))
        with network.inside(place.id):
            for port in ports:
                stack.enter_context(closing(Forward(("127.0.0.1", port), (here, port))))
        yield host


@dataclass
class Zone:
    """A running pair in its namespace. `words`: how many marked words were planted, by field."""

    network: Network
    place: Place
    folder: Path
    host: Host
    mark: Mark
    stray: Mark
    """What its people send to the other zone by mistake; everything else they type has `mark`."""
    words: Counter[str] = field(default_factory=Counter)
    child: subprocess.Popen[str] | None = None

    @staticmethod
    def made(network: Network, place: Place, other: Place, root: Path, host: Host, people: int) -> Zone:
        """Write the configuration, the addresses' file, and the database with an administrator."""
        folder = root / place.id
        folder.mkdir()
        values = {"id": place.id, "country": place.country, "url": place.url}
        text = CONFIG.format(
            **values,
            other=other.id,
            other_url=other.url,
            other_country=other.country,
            address=network.address(place.id),
            clients=network.address(CLIENTS),
        )
        (folder / "dragoman.toml").write_text(text, encoding="utf-8")
        networks = {f"{one.addresses}.0/24": {"country": {"iso_code": one.country}} for one in PLACES}
        (folder / "places.mmdb").write_bytes(mmdb(networks, int(time.time())))
        _enrol(folder / "data", place.id)
        dial, digits = place.dial, place.digits
        phones = tuple(f"{dial}{secrets.randbelow(10**digits):0{digits}d}" for _ in range(people))
        mark = Mark(f"kw{_letters()}{place.id[0]}", tuple(one[1:] for one in phones))
        return Zone(network, place, folder, host, mark, Mark(f"st{_letters()}{place.id[0]}", ()))

    @property
    def base(self) -> str:
        return f"http://{self.network.address(self.place.id)}:{PORT}"

    def word(self, name: str) -> str:
        """A word that is nowhere else: mark, field, number."""
        self.words[name] += 1
        return f"{self.mark.word}{name}{self.words[name]}"

    def start(self) -> None:
        """Serve, with a core dump permitted: where one goes is part of what is shown."""
        command = ["ip", "netns", "exec", self.network.space(self.place.id), str(COMMAND), "serve"]
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        with (self.folder / "serve.log").open("ab") as log:
            self.child = subprocess.Popen(
                [*command, "--config", "dragoman.toml", "--json"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                text=True,
                preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_CORE, unlimited if hard == resource.RLIM_INFINITY else (hard, hard)
                ),
            )

    def ready(self) -> None:
        """Wait until both processes answer."""
        assert self.child
        assert self.child.stdout
        assert self.child.stdout.readline(), (self.folder / "serve.log").read_text()[-3000:]

    def crash(self, role: str) -> None:
        """Have a process abort, as a fault in native code would, and wait until its successor answers."""
        assert self.child
        ended = pid_of(self, role)  # type: ignore[arg-type]  # it asks for the supervisor's child alone
        os.kill(ended, signal.SIGABRT)
        deadline = time.monotonic() + START_SECONDS
        with (
            self.network.inside(CLIENTS),
            httpx.Client(base_url=self.base, headers=self.headers(1)) as client,
        ):
            while time.monotonic() < deadline:
                time.sleep(PROBE_SECONDS)
                with contextlib.suppress(httpx.TransportError, AssertionError):
                    if pid_of(self, role) != ended and client.get("/readyz").status_code == 200:  # type: ignore[arg-type]
                        return
        raise TimeoutError(f"{self.place.id}: no {role} after a crash")

    def stop(self) -> None:
        if self.child is not None:
            self.child.terminate()
            assert self.child.wait(STOP_SECONDS) == 0
            self.child = None

    def dragoman(self, *words: str, check: bool = True) -> Any:
        """A verb of the command line, of this zone."""
        done = subprocess.run(
            [COMMAND, *words, "--config", str(self.folder / "dragoman.toml"), "--json"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=START_SECONDS,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def headers(self, number: int) -> dict[str, str]:
        """What the proxy in front of the zone says of somebody at an address of the zone's country."""
        return {
            "host": f"{self.place.id}.example",
            "origin": self.place.url,
            "x-forwarded-for": f"{self.place.addresses}.{number % 250 + 1}",
        }

    def operator(self) -> Visitor:
        """An administrator who has logged in; call and use it inside the zone's namespace."""
        visitor = Visitor(ADMIN_PORT)
        link = self.dragoman("admin", "invite")["link"]
        assert visitor.enrol(link).status == 200
        return visitor

    def open_files(self) -> list[str]:
        """What the pair's processes have open outside the zone's folder: names of files."""
        assert self.child
        found = []
        for role in ("relay", "control"):
            for one in Path(f"/proc/{pid_of(self, role)}/fd").iterdir():  # type: ignore[arg-type]
                with contextlib.suppress(FileNotFoundError):
                    target = str(one.readlink())
                    if target.startswith("/") and not target.startswith((f"{self.folder}/", "/dev/")):
                        found.append(f"{role}: {target}")
        return found


def _letters() -> str:
    """Nobody else's, 75 bits; letters alone, since a search takes digits apart from them and bounds its words."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def _enrol(data: Path, zone: str) -> None:
    """An administrator, without whom stage public does not start; nobody has this passkey."""
    data.mkdir(mode=0o700)
    migrate(data / "zone.db")
    database = Database(data / "zone.db")
    people = People(SqlAdmins(database, zone), Pepper(b"p" * 32), zone)
    made = people.invite("cli", "operator")
    people.enrol(made.text, new_id("adm", zone), NewPasskey("cred", "key", 0, "laptop"))
    database.close()
