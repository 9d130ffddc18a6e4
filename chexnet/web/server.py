"""Run the application in uvicorn until a signal arrives."""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from chexnet._types import LogFn
from chexnet.errors import InputError
from chexnet.web.app import Application, create_app
from chexnet.web.http_protocol import http_protocol
from chexnet.web.inference_service import InferenceService
from chexnet.web.server_config import ServerConfig

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
_LOGGERS = ("uvicorn.error", "uvicorn.access", "python_multipart")


def listen(config: ServerConfig) -> socket.socket:
    """Reserve the address and port of the server. Connections are refused until `serve` is ready.

    Raises:
        InputError: the address or the port cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows, SO_REUSEADDR would allow two servers on one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(config.host, config.port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"--host {host} --port {port}: cannot listen there: {reason}; try --port 0")


def serve(
    service: InferenceService,
    config: ServerConfig,
    listener: socket.socket,
    ready: Callable[[str], None],
    log: LogFn,
) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP; running requests are finished first, new ones are refused.

    A second signal drops them, except for the batch that is being computed. In another thread than the main one,
    signals are not handled. After SIGTERM and SIGHUP, the handlers of the caller are called.

    Args:
        service: predicts the images; closed at the end.
        config: hosts, token and limits.
        listener: result of `listen`; closed at the end.
        ready: called with the page's address when the page can be opened.
        log: receives one line about each fault of this program.
    """
    server = build_server(create_app(service, config, log), config, lambda: ready(_page_address(config.host, listener)))
    try:
        server.run([listener])
    except KeyboardInterrupt:
        if server.signals != [signal.SIGINT]:  # one Ctrl-C is the normal way to stop
            raise
    finally:
        listener.close()
        service.close(finish=not server.force_exit)


def build_server(app: Application, config: ServerConfig, ready: Callable[[], None]) -> "Server":
    """Return a server that is not running yet."""
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="asyncio",
        http=http_protocol(config.silence_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=config.max_connections,
        timeout_graceful_shutdown=config.shutdown_seconds,
    )
    return Server(settings, app, ready)


class Server(uvicorn.Server):
    """A server that ends on Ctrl-C, SIGTERM and SIGHUP, and at once on the second signal.

    Attributes:
        signals: numbers of the signals so far.
    """

    def __init__(self, config: uvicorn.Config, app: Application, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.signals: list[int] = []
        self._application, self._ready = app, ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve without log messages, until all requests have ended."""
        with _silent_loggers():
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then call `ready`."""
        try:
            await super().startup(sockets)
        except OSError as error:  # another process listens since `listen`
            raise _cannot_listen(self.config.host, self.config.port, error) from error
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the running requests."""
        self._application.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the block, and pass the first one to its earlier handler afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # A signal that is ignored, for example by `nohup`, stays so.
        numbers = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        earlier = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
        if self.signals:
            signal.raise_signal(self.signals[0])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Receive a signal."""
        self.signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True


@contextmanager
def _silent_loggers() -> Iterator[None]:
    """Drop the messages of uvicorn and of the form parser, which would show parts of requests and file names."""
    earlier = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for name, level in earlier.items():
            logging.getLogger(name).setLevel(level)


def _page_address(host: str, listener: socket.socket) -> str:
    """Return the address of the page for a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
