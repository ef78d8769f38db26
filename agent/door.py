"""The door of the page: where it listens, who may come in, and one line for whoever may not."""

import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from drivers.errors import DeviceError

DEFAULT_PORT = 8321
PORTS_TRIED = 20  # how many robots one machine may reasonably run before somebody should name a port
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let in only a page that this server served.

    A foreign page can make a browser on this machine call a loopback port (cross-site request), or can give
    its own name this machine's address (DNS rebinding). The first shows in Origin, the second in Host.
    """
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    if _host_name(f"//{host}") not in LOCAL_NAMES:
        return line(403, "this page is for this machine only; open it as http://127.0.0.1 with the port")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return line(403, "another page asked for this; open the robot's own page")
    if (
        request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
        and request.method != "GET"
    ):
        return line(403, "another page asked for this; open the robot's own page")
    try:
        response = await handler(request)
    except web.HTTPException as exc:
        response = line(exc.status, f"{request.method} {request.path}: {exc.reason}")
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # brackets that do not close
        return None


def listen(port: int | None) -> socket.socket:
    """A listening loopback socket. Raises DeviceError naming the port."""
    tried = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else (port,)
    reason = ""
    for candidate in tried:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(128)
        except (OSError, OverflowError) as exc:
            listener.close()
            reason = exc.strerror or str(exc) if isinstance(exc, OSError) else "ports run from 0 to 65535"
            continue
        return listener
    which = f"port {port}" if port is not None else f"ports {tried[0]} to {tried[-1]}"
    raise DeviceError(
        f"page: 127.0.0.1, {which}: {reason}; give another as page.port in nod.toml, or stop the other robot"
    )


def json_of(status: int, value: msgspec.Struct) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def line(status: int, text: str) -> web.Response:
    """One line for a program or a person; empty when all went well."""
    body = {"ok": True} if not text else {"ok": False, "error": text}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
