"""The sockets that `serve` listens on: one address or several, IPv4 and IPv6, all on the same port.

Each family has its own socket: on a shared one, IPv4 clients would have IPv6-mapped addresses, which lists of
trusted proxies do not contain.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..errors import Misconfigured
from ..settings import Settings

EVERYWHERE = ("0.0.0.0", "::")
BOTH = {"*": EVERYWHERE, "::": EVERYWHERE, "localhost": ("127.0.0.1", "::1")}
NO_SUCH_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
TRIES = 20


def is_loopback(settings: Settings) -> bool:
    """Whether none of the addresses can be reached from outside this machine."""
    return all(_is_loopback(host) for host in settings.hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def listen(settings: Settings) -> Iterator[list[socket.socket]]:
    """Opens the sockets, and closes them at the end. Raises Misconfigured."""
    for tries_left in reversed(range(TRIES)):
        with ExitStack() as stack:
            try:
                found = _open(settings, stack)
            except _Taken:
                if not tries_left:
                    raise Misconfigured("no port is free on all addresses of PRESENCE_HOST") from None
                continue
            yield found
            return


def _open(settings: Settings, stack: ExitStack) -> list[socket.socket]:
    found: list[socket.socket] = []
    named: set[str] = set()
    port = settings.port
    for host in settings.hosts:
        for number, address in enumerate(BOTH.get(host, (host,))):
            if address in named:  # "0.0.0.0,::" would open the first of them twice
                continue
            named.add(address)
            try:
                listener = stack.enter_context(_socket(address, port))
            except OSError as error:
                if number and error.errno in NO_SUCH_FAMILY:  # a machine without IPv6 has one family only
                    continue
                if found and not settings.port and error.errno == errno.EADDRINUSE:
                    raise _Taken from None
                raise _refusal(settings, host, error) from None
            found.append(listener)
            port = listener.getsockname()[1]
    return found


def _socket(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


class _Taken(Exception):
    """The port that the system chose for the first address is taken on another one."""


def _refusal(settings: Settings, host: str, error: OSError) -> Misconfigured:
    reason = str(error.strerror).partition(" (while ")[0]  # a resolver has error numbers of its own
    return Misconfigured(
        f"cannot listen on {host}:{settings.port} ({reason}): set PRESENCE_HOST or PRESENCE_PORT"
    )


def url_of(listener: socket.socket) -> str:
    """The URL to open; it names this machine when we listen on all addresses."""
    address, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
