"""The page's server: the robot's eye, its body and its chat for a browser on this machine.

One websocket carries everything that moves. Pictures are encoded once for all viewers, off the event loop,
and only when a viewer has drawn the ones before: a slow phone gets fewer pictures, never a queue of old ones.
Everything that a browser sends is data to be checked: host, origin, size, rate and form.
"""

import asyncio
import contextlib
import mimetypes
import secrets
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import WSMsgType, web

from agent.door import guard, json_of, line, listen
from agent.events import Inbox, Latest, Order, Reply
from agent.sentences import is_stop
from agent.sources import Newest, Sources
from agent.viewing import (
    HISTORY,
    Allowance,
    Answer,
    Block,
    Drawn,
    Heard,
    Hello,
    Play,
    Release,
    Say,
    Scene,
    Seek,
    Standing,
    Stop,
    Stream,
    Told,
    Viewer,
    decode_message,
    decode_say,
    scene_of,
)
from drivers.errors import ConfigError, DeviceError, Refused, RobotError

__all__ = ["Block", "Remote", "Scene", "Sources", "Standing", "scene_of"]

WEB = Path(__file__).with_name("web")
MAX_TEXT = 2000  # characters of one order: a page of text, and far below what fills a model's context
MAX_MESSAGE = 4 * 1024 * 1024  # bytes read at all, so that a pasted megabyte gets an answer, not a hang-up
MAX_VIEWERS = 16
MAX_IGNORED = 5000  # messages over the limit before a viewer that floods is sent away

SAY_TIMEOUT_S = 120.0  # a long plan of a large model, with its movements
CLOSE_TIMEOUT_S = 1.0  # for viewers to take their leave
RELEASE_TIMEOUT_S = 5.0  # the board answers within milliseconds or not at all
HEARTBEAT_S = 10.0

NONSENSE = (msgspec.DecodeError, UnicodeError, RecursionError)  # all that decoding a stranger's bytes raises


class Remote:
    """The server. Enter it to bind the port, run `serve` in the app's task group, `tell` it every reply."""

    def __init__(
        self,
        sources: Sources,
        port: int | None = None,
        say_timeout_s: float = SAY_TIMEOUT_S,
        *,
        has_page: bool = True,
    ) -> None:
        """Without a page only the requests of `nod say` and its kin are served."""
        self._sources = sources
        self._asked_port = port
        self._say_timeout_s = say_timeout_s
        self._files = dict(_read_files()) if has_page else {}
        self._has_page = has_page
        self._camera = Stream("camera", sources.bus.frames, sources.bus.sight)
        self._call = Stream("call", sources.bus.call_frames, sources.bus.call_sight)
        self._history: deque[Heard | Told] = deque(maxlen=HISTORY)
        self._viewers: set[Viewer] = set()
        self._newest = Newest(sources, has_viewers=lambda: bool(self._viewers))
        self._asking: dict[str, Inbox[Reply]] = {}
        self._allowance = Allowance()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where the page is, for a browser on this machine."""
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> "Remote":
        """Bind and listen. Raises DeviceError when the port, or every one of those tried, is taken."""
        listener = listen(self._asked_port)
        self.port = listener.getsockname()[1]
        app = web.Application(middlewares=[guard], client_max_size=MAX_MESSAGE)
        if self._has_page:
            app.router.add_get("/ws", self._on_socket)
        app.router.add_post("/api/say", self._on_say)
        app.router.add_post("/api/stop", self._on_stop)
        app.router.add_post("/api/release", self._on_release)
        app.router.add_get("/api/state", self._on_state)
        app.router.add_get("/api/body.urdf", self._on_urdf)
        app.router.add_get("/{name:[a-z0-9.]*}", self._on_file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        farewells = [
            viewer.socket.close(code=1001, message=b"the robot's program ended") for viewer in self._viewers
        ]
        try:
            with contextlib.suppress(TimeoutError):  # a suspended tab never answers
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await asyncio.gather(*farewells, return_exceptions=True)
        finally:
            if self._runner is not None:
                await self._runner.cleanup()

    async def serve(self) -> None:
        """Watch the sources and prepare what viewers are sent; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._camera.run(), name="page camera")
            group.create_task(self._call.run(), name="page call")
            group.create_task(self._follow_lock(), name="page lock")
            group.create_task(self._newest.run(), name="page state")

    def tell(self, reply: Reply) -> None:
        """Show a reply to every viewer, and to whoever waits for it."""
        self._broadcast(_shown(reply))
        if reply.order_id in self._asking:
            self._asking[reply.order_id].put(reply)

    def heard(self, order: Order) -> None:
        """Show an order that came another way (MQTT, the simulator); the page's own are shown already."""
        self._broadcast(_shown(order))

    def begin_anew(self, said: Iterable[Order | Reply]) -> None:
        """Everybody sees another moment of a recording: this is what was said until then."""
        self._history.clear()
        self._history.extend(map(_shown, said))
        hello = self._hello()
        for viewer in self._viewers:
            viewer.lines.put(hello)

    def _broadcast(self, line: Heard | Told) -> None:
        self._history.append(line)
        data = msgspec.json.encode(line)
        for viewer in self._viewers:
            viewer.lines.put(data)

    def _order(self, text: str, source: Literal["page", "cli"], allowance: Allowance) -> Order:
        """Check a sentence and hand it to the planner. Raises Refused with the reason."""
        if self._sources.deck is not None:
            raise Refused("this is a recording; it takes no orders")
        if len(text) > MAX_TEXT:
            raise Refused(
                f"that order has {len(text):,} characters and {MAX_TEXT:,} is the most; say it shorter"
            )
        if not text.strip():
            raise Refused("that order is empty; type what the robot should do")
        now_s = asyncio.get_running_loop().time()
        if not is_stop(text) and not allowance.take(now_s):
            raise Refused("too many orders at once; wait a second (stop always works)")
        order = Order(id=secrets.token_hex(6), text=text.strip(), source=source, time_s=now_s)
        if not self._sources.bus.orders.put(order):
            raise Refused("the robot has too many orders waiting; wait until it has finished, or stop it")
        self.heard(order)
        return order

    async def _release(self) -> None:
        """Raises RobotError when the arm cannot be released."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._sources.release()
        except TimeoutError as exc:
            raise DeviceError(f"no answer to the release for {RELEASE_TIMEOUT_S:g} s; still stopped") from exc

    # what is watched

    async def _follow_lock(self) -> None:
        # A lock names a place in the sight it was made from; the track goes on being right in the next sight.
        seen, bus = 0, self._sources.bus
        while True:
            lock = await bus.lock.after(seen)
            seen = bus.lock.count
            sight = bus.sight.get()
            faces = sight.faces if sight is not None else ()
            has_face = lock.face is not None and 0 <= lock.face < len(faces)
            self._camera.locked_track = faces[lock.face or 0].track if has_face else None

    # the websocket

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MAX_VIEWERS:
            return line(503, f"{MAX_VIEWERS} pages are open already; close one")
        socket_ = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT_S, compress=False)
        await socket_.prepare(request)
        viewer = Viewer(socket_)
        viewer.lines.put(self._hello())
        self._viewers.add(viewer)
        try:
            async with asyncio.TaskGroup() as group:
                feeds = (
                    self._send_lines(viewer),
                    self._send_newest(viewer, self._newest.state),
                    self._send_newest(viewer, self._newest.pose),
                    self._send_newest(viewer, self._newest.clock),
                    self._camera.feed(viewer),
                    self._call.feed(viewer),
                )
                senders = [group.create_task(_until_gone(feed), name="page viewer") for feed in feeds]
                await self._listen_to(viewer, group)
                for sender in senders:
                    sender.cancel()
        finally:
            self._viewers.discard(viewer)
        return socket_

    def _hello(self) -> bytes:
        deck = self._sources.deck
        hello = Hello(self._sources.scene, list(self._history), MAX_TEXT, deck.tape if deck else None)
        return msgspec.json.encode(hello)

    async def _send_lines(self, viewer: Viewer) -> None:
        while True:
            await viewer.socket.send_str((await viewer.lines.get()).decode())

    async def _send_newest(self, viewer: Viewer, channel: Latest[bytes]) -> None:
        count = channel.count - 1  # what is there already is news to a new viewer
        while True:
            data = await channel.after(max(count, 0))
            count = channel.count
            await viewer.socket.send_str(data.decode())

    async def _listen_to(self, viewer: Viewer, group: asyncio.TaskGroup) -> None:
        async for message in viewer.socket:
            if message.type == WSMsgType.TEXT:
                self._take(viewer, message.data, group)
            elif message.type == WSMsgType.BINARY:
                self._scold(viewer, "the page sends text only; reload it")
            if viewer.ignored > MAX_IGNORED:
                await viewer.socket.close(code=1008, message=b"too many messages; reload the page")
            # Messages that lie ready would otherwise keep the loop from the motion tick.
            await asyncio.sleep(0)

    def _take(self, viewer: Viewer, text: str, group: asyncio.TaskGroup) -> None:
        try:
            message = decode_message(text)
        except NONSENSE as exc:
            self._scold(viewer, f"that message makes no sense ({exc}); reload the page")
            return
        try:
            match message:
                case Stop():
                    self._sources.stop("page")
                case Release():
                    if not viewer.is_releasing:  # beside the messages, so that a stop is never behind it
                        viewer.is_releasing = True
                        group.create_task(self._release_for(viewer), name="page release")
                case Drawn(stream=stream):
                    viewer.under_way[stream] = max(0, viewer.under_way[stream] - 1)
                    viewer.drew[stream].set()
                case Seek() | Play():
                    self._wind(message)
                case Say(text=sentence):
                    self._order(sentence, "page", viewer.allowance)
        except RobotError as exc:
            viewer.complain(str(exc))

    def _wind(self, message: Seek | Play) -> None:
        deck = self._sources.deck
        if deck is None:
            raise Refused("this is a robot, not a recording; there is nothing to wind")
        match message:
            case Seek(time_s=time_s):
                deck.seek(time_s)
            case Play(rate=rate):
                deck.play(rate)

    async def _release_for(self, viewer: Viewer) -> None:
        try:
            await self._release()
        except RobotError as exc:
            viewer.complain(str(exc))
        finally:
            viewer.is_releasing = False

    def _scold(self, viewer: Viewer, text: str) -> None:
        if viewer.allowance.take(asyncio.get_running_loop().time()):
            viewer.complain(text)
        else:
            viewer.ignored += 1

    # plain requests

    async def _on_file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"] or "index.html"
        if name not in self._files:
            what = "the page is at /" if self._has_page else "this robot runs without its page (--headless)"
            return line(404, f"there is nothing here; {what}")
        kind, data = self._files[name]
        return web.Response(body=data, content_type=kind, charset="utf-8")

    async def _on_state(self, request: web.Request) -> web.Response:
        state = msgspec.structs.replace(self._newest.now(), pose_rad=list(self._sources.pose()))
        return json_of(200, state)

    async def _on_urdf(self, request: web.Request) -> web.Response:
        return web.Response(text=self._sources.urdf, content_type="application/xml")

    async def _on_stop(self, request: web.Request) -> web.Response:
        try:
            self._sources.stop("page" if "Origin" in request.headers else "cli")
        except RobotError as exc:
            return line(503, str(exc))
        return line(200, "")

    async def _on_release(self, request: web.Request) -> web.Response:
        try:
            await self._release()
        except RobotError as exc:
            return line(503, str(exc))
        return line(200, "")

    async def _on_say(self, request: web.Request) -> web.Response:
        try:
            sentence = decode_say(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return line(413, f"that request has over {MAX_MESSAGE:,} bytes; say it shorter")
        except NONSENSE as exc:
            return line(400, f'the request makes no sense ({exc}); send {{"text": "nod"}}')
        try:
            order = self._order(sentence.text, "cli", self._allowance)
        except Refused as exc:
            return line(413 if len(sentence.text) > MAX_TEXT else 429, str(exc))
        replies: list[Reply] = []
        waiting = self._asking[order.id] = Inbox(HISTORY, drop="oldest")
        try:
            async with asyncio.timeout(self._say_timeout_s):
                while not (replies and replies[-1].last):
                    replies.append(await waiting.get())
        except TimeoutError:
            error = f"no last answer for {self._say_timeout_s:g} s; the order goes on, watch it on the page"
            return json_of(504, Answer(order_id=order.id, replies=replies, error=error))
        finally:
            del self._asking[order.id]
        return json_of(200, Answer(order_id=order.id, replies=replies))


def _shown(said: Order | Reply) -> Heard | Told:
    """A line of the chat."""
    match said:
        case Order():
            return Heard(said.id, said.text[:MAX_TEXT], said.source)
        case Reply():
            return Told(said.order_id, said.kind, said.text, said.last)


def _read_files() -> Iterator[tuple[str, tuple[str, bytes]]]:
    """The page's files, read once: what is not among them cannot be asked for."""
    try:
        for path in WEB.iterdir():
            kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(path.suffix)
            yield path.name, (kind or mimetypes.guess_type(path.name)[0] or "text/plain", path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"page: {exc.filename} cannot be read ({exc.strerror}); install nod again") from exc


async def _until_gone(feed: Awaitable[None]) -> None:
    """Run a sender; a browser that left ends it without a fuss, the listener sees it too."""
    try:
        await feed
    except ConnectionResetError:
        pass
