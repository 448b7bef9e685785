"""The desk's server: one page, its pictures, and decisions that are on disk before they are answered for.

Loopback only. Each auditor has an address with a token of their own; a request without one, to another host name, from
another page's script, or by a path that climbs is refused with one plain line.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from geomtrs.craft.audit.decisions import FOLDER
from geomtrs.craft.audit.desk import Desk
from geomtrs.errors import JobError, MissingExtra, QueryError
from geomtrs.lock import only_one

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
PAGE = ("index.html", "desk.css", "desk.js", "items.js", "mask.js", "server.js", "view.js")
MOST_BYTES = 32 << 20  # of what a page may send
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# A browser keeps pictures: their address, with its token, is of one run of the desk, in which they do not change.
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
FRESH = {"Cache-Control": "no-store"}


def serve(desk: Desk, *, port: int, opened: Callable[[Mapping[str, str]], None]) -> None:
    """The desk is open until Ctrl-C; `opened` is told each auditor's address once it can be asked.

    port  0 = any that is free

    Raises MissingExtra without Starlette and uvicorn, JobError where the port is taken or an auditor sits elsewhere.
    """
    with suppress(KeyboardInterrupt), _held(desk), _bound(port) as listening:
        port = listening.getsockname()[1]
        server = web_server(desk, port)
        opened({auditor: f"http://{HOST}:{port}/{token}/" for token, auditor in desk.tokens.items()})
        server.run(sockets=[listening])


def web_server(desk: Desk, port: int) -> uvicorn.Server:
    """What runs on a socket that is bound to the port. Raises MissingExtra."""
    try:
        import starlette  # noqa: F401 - asked for here, so that the error comes before anything is opened
        import uvicorn
    except ImportError as error:
        raise MissingExtra(
            "starlette, uvicorn", found="not installed", wanted="the audit desk's server",
            remedy="pip install 'geomtrs[audit]'",
        ) from error  # fmt: skip
    config = uvicorn.Config(
        application(desk, port), http="h11", ws="none", loop="asyncio", lifespan="off", log_config=None,
        access_log=False, server_header=False, timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(config)


def application(desk: Desk, port: int) -> ASGIApp:
    """The desk on that port, behind its guard."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    from tiling.errors import TilingError

    web = _Web(desk)
    routes = [
        Route("/{token}/", web.page),
        Route("/{token}/items", web.items),
        Route("/{token}/picture/{item}/{side}", web.picture),
        Route("/{token}/mask/{item}", web.mask),
        Route("/{token}/mask/{item}", web.keep, methods=["PUT"]),
        Route("/{token}/decide", web.decide, methods=["POST"]),
        Route("/{token}/undo", web.undo, methods=["POST"]),
        Route("/{token}/{name}", web.page),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={TilingError: _refused}), desk.tokens, port)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets through what an auditor's own page asks, with the headers that keep it to itself; all else gets a line."""

    app: ASGIApp
    tokens: Mapping[str, str]
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks for it."""
        from starlette.responses import PlainTextResponse

        async def guarded(message: MutableMapping[str, Any]) -> None:  # Any: as ASGI has it
            if message["type"] == "http.response.start":
                told = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *told]
            await send(message)

        refused = self._refusal(scope)
        if refused is None:
            await self.app(scope, receive, guarded)
        else:
            status, why = refused
            await PlainTextResponse(f"refused: {why}\n", status)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        told: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            told.setdefault(name.lower(), []).append(value.decode("latin-1"))
        hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        if len(told.get(b"host", [])) != 1 or told[b"host"][0] not in hosts:
            return 403, "asked of another host than this machine itself"
        if any(origin not in {f"http://{host}" for host in hosts} for origin in told.get(b"origin", [])):
            return 403, "asked by another page"
        parts = scope["path"].split("/")
        if any(part in (".", "..") for part in parts) or "\\" in scope["path"] or "\0" in scope["path"]:
            return 400, "a path that climbs out"
        if not any(secrets.compare_digest(parts[1].encode(), token.encode()) for token in self.tokens):
            return 403, "no token in the address; take the one that geomtrs audit printed"
        return None


@dataclass(frozen=True, slots=True)
class _Web:
    """An answer for each address; what reads or writes files runs in a thread of its own."""

    desk: Desk

    def page(self, request: Request) -> Response:
        """The page, or a file of it: nothing but what is listed."""
        from starlette.responses import PlainTextResponse, Response

        name = request.path_params.get("name", "index.html")
        if name not in PAGE:
            return PlainTextResponse("no such page\n", 404)
        content = files(__package__).joinpath("page", name).read_bytes()
        return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=FRESH)

    def items(self, request: Request) -> Response:
        """Every item, without pictures."""
        return _json(self.desk.listed(self._auditor(request)))

    def picture(self, request: Request) -> Response:
        """One date of an item."""
        from starlette.responses import PlainTextResponse, Response

        item, side = request.path_params["item"], request.path_params["side"]
        if side not in ("before", "after"):
            return PlainTextResponse("no such date\n", 404)
        return Response(self.desk.picture(item, side), media_type="image/jpeg", headers=KEPT)

    def mask(self, request: Request) -> Response:
        """An item's mask, or a mended one by `?name=`."""
        from starlette.responses import Response

        content = self.desk.mask(request.path_params["item"], request.query_params.get("name"))
        return Response(content, media_type="image/png", headers=KEPT)

    async def keep(self, request: Request) -> Response:
        """A mended mask."""
        from starlette.concurrency import run_in_threadpool

        content = await _body(request)
        return _json(await run_in_threadpool(self.desk.keep, request.path_params["item"], content))

    async def decide(self, request: Request) -> Response:
        """A decision."""
        from starlette.concurrency import run_in_threadpool

        try:
            document = json.loads(await _body(request))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise QueryError("a decision", found="no JSON object", wanted="one", remedy="load the page again")
        return _json(await run_in_threadpool(self.desk.decide, self._auditor(request), document))

    def undo(self, request: Request) -> Response:
        """The last decision is taken back."""
        return _json(self.desk.undo(self._auditor(request)))

    def _auditor(self, request: Request) -> str:
        return self.desk.tokens[request.path_params["token"]]


async def _body(request: Request) -> bytes:
    """What was sent. Raises QueryError where it is too much."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise QueryError("the desk", found="more", wanted=f"{MOST_BYTES:,} bytes at most", remedy="send less")
    return bytes(content)


def _json(document: Mapping[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(document, headers=FRESH)


def _refused(_: Request, error: Exception) -> Response:
    """One line: 400 for what was asked wrongly, 500 where a file is at fault."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"{error}\n", 400 if isinstance(error, QueryError) else 500)


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise JobError(
            f"port {port}", found=error.strerror or str(error), wanted="a free port", remedy="another --port, or 0"
        ) from error
    with listening:
        yield listening


@contextmanager
def _held(desk: Desk) -> Iterator[None]:
    """Nobody else writes the files of these auditors."""
    with ExitStack() as held:
        for auditor in desk.tokens.values():
            lock = desk.folder / FOLDER / f".{auditor}.lock"
            try:
                held.enter_context(only_one(lock))
            except JobError as error:
                raise JobError(
                    desk.folder, found=f"{auditor} at another desk here", wanted="one desk an auditor",
                    remedy=f"close that one, or give another --auditor; if it is gone for sure, remove {lock}",
                ) from error  # fmt: skip
        yield
