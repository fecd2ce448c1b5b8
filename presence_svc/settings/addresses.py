"""How addresses in settings must be written: origins, proxies, key servers. Each says yes or no."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
# As browsers write it (RFC 6454): in lower case, without a path, and without the scheme's default port.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
USUAL_PORT = re.compile(r"http://.*:80|https://.*:443")


def is_origin(origin: str) -> bool:
    """Whether a browser may ever send exactly this; `*` stands for any origin."""
    return origin == "*" or bool(ORIGIN.fullmatch(origin) and not USUAL_PORT.fullmatch(origin))


def is_network(network: str) -> bool:
    """Whether this is an address or a network; `*` stands for all."""
    try:
        ipaddress.ip_network(network)
    except ValueError:
        return network == "*"
    return True


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what is fetched."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)
