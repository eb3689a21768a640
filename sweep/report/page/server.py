"""The page of a config, served to this machine alone while its numbers are computed as they are looked at.

A page of another site cannot read or ask anything: the Host must be this machine's, which no name that was bound anew
is; what is asked must be JSON, which a form cannot send; and no answer allows another origin.
"""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sweep.errors import SpecError
from sweep.report.page.live import Live

HOST = "127.0.0.1"
MOST_BYTES = 64_000  # of what is asked
WAIT = 0.2  # seconds after which a signal is seen
FORM = 'must be {"fixed": {name: value, ...}, "uncertain": {name: {key: value, ...}, ...}}'
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Explorer(ThreadingHTTPServer):
    """The server of one config.

    Parameters
    ----------
    live : Live
        The config.
    port : int
        Where it listens; 0 for any port that is free.

    Raises
    ------
    SpecError
        Where the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = False
    timeout = WAIT

    def __init__(self, live: Live, port: int) -> None:
        self.live, self.lock = live, threading.Lock()
        self.text = live.page("").encode()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise SpecError(f"--port: {port} cannot be listened at: {error.strerror}; give another, or 0") from None

    @property
    def address(self) -> str:
        """What to open."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def serve(self, look: Callable[[], None]) -> None:
        """Answer until `look`, which is called between requests, raises."""
        while True:
            look()
            self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a browser that went away alone."""


class _Handler(BaseHTTPRequestHandler):
    server: Explorer
    protocol_version = "HTTP/1.1"
    timeout = 10.0

    def do_GET(self) -> None:
        """Send the page."""
        if self._is_refused():
            return
        if self.path != "/":
            self._say(HTTPStatus.NOT_FOUND, "there is nothing here but /")
            return
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.text)

    def do_POST(self) -> None:
        """Send the numbers, or the config, for the values that are asked."""
        if self._is_refused():
            return
        if self.path not in ("/evaluate", "/config"):
            self._say(HTTPStatus.NOT_FOUND, "only /evaluate and /config answer")
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "must be application/json")
        elif not length.isascii() or not length.isdigit():
            self._say(HTTPStatus.LENGTH_REQUIRED, "must say its length")
        elif int(length) > MOST_BYTES:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"must be at most {MOST_BYTES:,} bytes")
        else:
            self._evaluate(self.rfile.read(int(length)))

    def _evaluate(self, body: bytes) -> None:
        try:
            question = json.loads(body)
            if not isinstance(question, dict) or not question.keys() <= {"fixed", "uncertain"}:
                raise SpecError(FORM)
            if not all(isinstance(one, dict) for one in question.values()):
                raise SpecError(FORM)
            with self.server.lock:
                live = self.server.live
                answer = (live.numbers if self.path == "/evaluate" else live.config)(question)
        except (ValueError, RecursionError) as error:  # what is no JSON, and what is wrong with what it says
            text = str(error) if isinstance(error, SpecError) else "must be JSON"
            self._say(HTTPStatus.BAD_REQUEST, text)
            return
        self._send(HTTPStatus.OK, "application/json", json.dumps(answer, allow_nan=False).encode())

    def _is_refused(self) -> bool:
        """Refuse what does not come from a page of this server."""
        port = self.server.server_address[1]
        hosts = (f"{HOST}:{port}", f"localhost:{port}")
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in hosts and (origin is None or origin in [f"http://{host}" for host in hosts]):
            return False
        self._say(HTTPStatus.FORBIDDEN, "the Host and the Origin must be those of this server")
        return True

    def _say(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # what was sent may not have been read
        self._send(status, "application/json", json.dumps({"error": text}).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Say nothing of what runs here."""
        return "sweep"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""
