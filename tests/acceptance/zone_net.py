"""Network namespaces for a trial: hosts around one router, who may be reached from all, and every packet kept.

`python zone_net.py FILE` keeps the packets of the namespace it runs in, until SIGTERM; needs no other program.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

CLONE_NEWNET = 0x40000000  # setns(2)
ETH_P_ALL = 0x0003  # packet(7)
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/if_packet.h
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
ROUTER = "router"
RECORD = struct.Struct(">IHB")
"""Before each packet in a capture: its bytes, its interface by number, whether it went out."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why no namespaces can be made here; None where they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    name = f"zwtry{os.getpid()}"
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"no network namespace can be made: {done.stderr.strip()}"
        subprocess.run(["ip", "netns", "del", name], check=True)
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)).close()
    except OSError as fault:
        return f"no network namespace can be made: {fault}"
    return None


@dataclass
class Network:
    """Hosts by name, each a namespace with one address and a way to every other through the router."""

    names: tuple[str, ...]
    tag: str = field(default_factory=lambda: f"zw{os.getpid()}")

    def address(self, name: str) -> str:
        """The host's address."""
        return f"10.213.{self.names.index(name) + 1}.2"

    def space(self, name: str) -> str:
        """The namespace, as `ip netns` calls it."""
        return f"{self.tag}{name}"

    def link(self, name: str) -> str:
        """The router's interface towards a host."""
        return f"to{name}"

    def __enter__(self) -> Self:
        for name in (ROUTER, *self.names):
            _ip("netns", "add", self.space(name))
            self._in(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            self._in(name, "ip", "link", "set", "lo", "up")
        self._in(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, name in enumerate(self.names, 1):
            link = self.link(name)
            _ip("-n", self.space(ROUTER), "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.space(name))  # fmt: skip
            for space, device, host in ((ROUTER, link, 1), (name, "eth0", 2)):
                _ip("-n", self.space(space), "addr", "add", f"10.213.{number}.{host}/24", "dev", device)
                _ip("-n", self.space(space), "link", "set", device, "up")
            _ip("-n", self.space(name), "route", "add", "default", "via", f"10.213.{number}.1")
        return self

    def __exit__(self, *_: object) -> None:
        for name in (ROUTER, *self.names):
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False, capture_output=True)

    def _in(self, name: str, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.space(name), *command], check=True)

    def enter(self, name: str) -> None:
        """Put this thread, and those it starts, into a host: its sockets are that host's from now on."""
        with Path(f"/run/netns/{self.space(name)}").open("rb") as space:
            _setns(space.fileno())

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """The same, for a while."""
        with Path("/proc/thread-self/ns/net").open("rb") as before:
            self.enter(name)
            try:
                yield
            finally:
                _setns(before.fileno())

    def counters(self) -> dict[str, tuple[int, int]]:
        """Packets the router had from and sent to each host, by the kernel's own count."""
        found = {}
        with self.inside(ROUTER):
            for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]:
                name, _, numbers = line.partition(":")
                values = numbers.split()
                found[name.strip()] = int(values[1]), int(values[9])
        return {name: found[self.link(name)] for name in self.names}


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@dataclass
class Forward:
    """Carries connections to a port on to another address: the way out of a zone, or into a fake on loopback."""

    listen: tuple[str, int]
    to: tuple[str, int]

    def __post_init__(self) -> None:
        self._listening = socket.create_server(self.listen, backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self.to, 10)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Capture:
    """Every packet at the router's interfaces, while it runs. `counted`: the kernel's own count of them."""

    network: Network
    file: Path

    def __enter__(self) -> Self:
        space = self.network.space(ROUTER)
        command = ["ip", "netns", "exec", space, sys.executable, __file__, str(self.file)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout
        assert self._child.stdout.readline() == "ready\n"
        self._before = self.network.counters()
        return self

    def __exit__(self, *_: object) -> None:
        after = self.network.counters()
        self._child.send_signal(signal.SIGTERM)
        said, _ = self._child.communicate(timeout=60)
        self.dropped = int(said)
        self.counted = {
            name: (after[name][0] - had, after[name][1] - sent) for name, (had, sent) in self._before.items()
        }

    def packets(self) -> dict[str, list[tuple[bool, bytes]]]:
        """By host: (whether it went to the host, the frame), in order."""
        names = {number: name for name, number in self._numbers().items()}
        found: dict[str, list[tuple[bool, bytes]]] = defaultdict(list)
        data = self.file.read_bytes()
        at = 0
        while at < len(data):
            length, number, out = RECORD.unpack_from(data, at)
            at += RECORD.size
            if number in names:
                found[names[number]].append((bool(out), data[at : at + length]))
            at += length
        return found

    def _numbers(self) -> dict[str, int]:
        with self.network.inside(ROUTER):
            return {name: socket.if_nametoindex(self.network.link(name)) for name in self.network.names}


def keep_packets(file: Path) -> int:
    """Write every packet of this namespace to a file until SIGTERM; how many the kernel dropped."""
    sniffing = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sniffing.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    sniffing.settimeout(0.3)
    numbers = {name: number for number, name in socket.if_nameindex()}
    buffer = bytearray(1 << 17)
    print("ready", flush=True)
    with file.open("wb") as out:
        while True:
            try:
                length, (name, _, kind, *_) = sniffing.recvfrom_into(buffer)
            except TimeoutError:
                if ended.is_set():
                    break
                continue
            out.write(RECORD.pack(length, numbers.get(name, 0), kind == PACKET_OUTGOING))
            out.write(buffer[:length])
    _, dropped = struct.unpack("II", sniffing.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return dropped


if __name__ == "__main__":
    print(keep_packets(Path(sys.argv[1])), flush=True)
