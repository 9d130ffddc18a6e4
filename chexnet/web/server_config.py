"""Settings of the server, checked before a network is loaded. Imports nothing that has to be installed."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from chexnet.errors import InputError

TOKEN_VARIABLE = "CHEXNET_TOKEN"
"""Environment variable for the token, if there is no `--token_file`."""

PACKAGES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Modules that the server imports -> the packages that contain them, the extra `web`."""

MIN_TOKEN, MAX_TOKEN = 16, 1024
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:@/?#]+)(?::\d{1,5})?")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of the server.

    Attributes:
        host: address or name to listen on.
        port: port to listen on; 0 picks a free one.
        token: requests to the API need `Authorization: Bearer <token>`; None needs none.
        allowed_hosts: further names in the Host header, for example that of a reverse proxy.
        max_bytes: maximum size of a request body.
        max_images: maximum number of images per request.
        max_waiting: maximum number of images that wait or are computed; more are refused with status 429.
        max_waiting_bytes: maximum size of all request bodies in memory; more are refused with status 429.
        max_connections: maximum number of open connections; more are refused with status 503.
        silence_seconds: maximum time without a byte of an unfinished request.
        upload_seconds: maximum time for a request body.
        predict_seconds: maximum time from the upload to the result.
        shutdown_seconds: maximum time for running requests after a signal.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    max_bytes: int = 200 * 2**20
    max_images: int = 32
    max_waiting: int = 64
    max_waiting_bytes: int = 2**30
    max_connections: int = 256
    silence_seconds: float = 30.0
    upload_seconds: float = 300.0
    predict_seconds: float = 120.0
    shutdown_seconds: int = 60

    def accepts_host(self, header: str) -> bool:
        """Return whether a Host header names this server.

        Another name that resolves to this computer is that of a page that attacks it (DNS rebinding). An address cannot
        be such a name; it is accepted if the server listens on all addresses.
        """
        name = host_name(header)
        if name is None:
            return False
        names = {host_name(allowed) or allowed.lower() for allowed in (self.host, *self.allowed_hosts)}
        return name in {*names, *LOOPBACK_NAMES} or (is_any_address(self.host) and _address(name) is not None)


def host_name(header: str) -> str | None:
    """Return the name in a Host header or of a flag, without port and brackets, in lower case; None if it has none."""
    if _address(header):
        return header.lower()
    match = _HOST.fullmatch(header)
    return match[1].strip("[]").rstrip(".").lower() or None if match else None


def is_loopback(host: str) -> bool:
    """Return whether a host is reached from this computer only."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_any_address(host: str) -> bool:
    """Return whether a host stands for all addresses of this computer: `0.0.0.0` or `::`."""
    address = _address(host)
    return host == "" or (address is not None and address.is_unspecified)


def check_server(
    host: str,
    port: int,
    token_file: str | None,
    allowed_hosts: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> ServerConfig:
    """Return the settings for a host, with the token that it needs.

    Args:
        host: address or name to listen on.
        port: port to listen on; 0 picks a free one.
        token_file: file that contains the token; None reads the environment variable CHEXNET_TOKEN.
        allowed_hosts: see `ServerConfig`.
        environment: environment variables; None takes those of the process.

    Raises:
        InputError: a package is missing; the port, a name or the token cannot be used; or there is no token, and others
            can reach the host.
    """
    missing = [package for module, package in PACKAGES.items() if not find_spec(module)]
    if missing:
        raise InputError(f"the server needs {' and '.join(missing)}: pip install {' '.join(PACKAGES.values())}")
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: expected a number from 0 to 65535")
    for name in allowed_hosts:
        if host_name(name) is None:
            raise InputError(f"--allowed_host {name}: expected the name or address of a host")
    token = _read_token(token_file, os.environ if environment is None else environment)
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: other computers can reach this address, so a token is required: --token_file FILE, or the "
            f"environment variable {TOKEN_VARIABLE}"
        )
    return ServerConfig(host=host, port=port, token=token, allowed_hosts=allowed_hosts)


def _read_token(path: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the token of a file or of the environment, None if there is neither. Messages do not show it."""
    if path is None:
        source, text = TOKEN_VARIABLE, environment.get(TOKEN_VARIABLE)
        if text is None:
            return None
    else:
        source = path
        try:
            with open(path, encoding="ascii") as file:
                text = file.read(MAX_TOKEN + 3)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "expected a text file of ASCII characters"
            raise InputError(f"--token_file {path}: cannot be read: {reason}") from error
    token = text.strip()
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise InputError(
            f"{source}: not a token of {MIN_TOKEN} to {MAX_TOKEN} letters, digits and . _ ~ + / -; for a new one, run "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
