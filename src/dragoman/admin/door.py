"""Who may knock at the admin listener: the Host it answers to, and the address a request comes from.

Forwarding headers count only from configured proxies; from anybody else they end the request.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from dragoman.errors import RefusedError

_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_PORT = re.compile(r"^([0-9.]+|\[[^\]]*\]):[0-9]{1,5}$")
"""An address with a port, as some proxies write a hop; a bare IPv6 address has none."""
MAX_HOPS = 20
"""LIMIT: hops read of one `X-Forwarded-For`."""

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Knock:
    """Where a request comes from. `near`: from this machine, forwarded by nobody."""

    address: str
    near: bool
    host: str


class Door:
    """Admits requests by Host and address."""

    def __init__(self, origin: str, listen: str, proxies: Iterable[str], *, tls: bool) -> None:
        self.origin = origin
        self.host = urlsplit(origin).netloc
        address, _, port = listen.rpartition(":")
        local = {f"{name}:{port}" for name in _LOCAL_NAMES} if _is_near(_ip(address)) else set()
        self._hosts = frozenset({self.host, *local})
        self._proxies = [ipaddress.ip_network(one) for one in proxies]
        self._proxied_only = bool(self._proxies) and not tls

    def admit(self, request: Request) -> Knock:
        """The knock. Raises RefusedError 400 or 421 for what must not be answered."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1:
            raise _refused(400, "bad_host", "Send one Host.", "请只发送一个 Host。")
        if hosts[0].lower() not in self._hosts:
            raise _refused(
                421,
                "wrong_host",
                f"This listener answers at {self.origin} alone.",
                f"此监听器只在 {self.origin} 提供服务。",
            )
        peer = _ip(request.client.host if request.client else "")
        forwarded = any(name in request.headers for name in _FORWARDING)
        if self._is_proxy(peer):
            return Knock(self._behind(request), near=False, host=hosts[0].lower())
        if forwarded or self._proxied_only:
            raise _refused(
                421,
                "forwarded",
                "Forwarded requests are answered from admin.trusted_proxies alone, and direct ones where "
                "none is set.",
                "只接受 admin.trusted_proxies 转发的请求；未设置时只接受直接请求。",
            )
        return Knock(_bucket(peer), near=_is_near(peer), host=hosts[0].lower())

    def _behind(self, request: Request) -> str:
        """The right-most hop that is no proxy of ours; `unknown` where that is unclear."""
        hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _ip(_PORT.sub(r"\1", hop))
            if address is None:
                return "unknown"
            if not self._is_proxy(address):
                return _bucket(address)
        return "unknown"

    def _is_proxy(self, address: IP | None) -> bool:
        return address is not None and any(
            address.version == network.version and address in network for network in self._proxies
        )


def _ip(text: str) -> IP | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").replace("localhost", "127.0.0.1"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_near(address: IP | None) -> bool:
    return address is not None and address.is_loopback


def _bucket(address: IP | None) -> str:
    """What attempts are counted by: an IPv4 address, or an IPv6 network of 64 bits."""
    if address is None:
        return "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _refused(status: int, code: str, en: str, zh: str) -> RefusedError:
    return RefusedError(status, code, {"en": en, "zh": zh})
