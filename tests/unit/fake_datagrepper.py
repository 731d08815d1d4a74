# SPDX-License-Identifier: LGPL-2.1-or-later
"""A datagrepper with some messages and some troubles, on a port of its own; tested in `test_datagrepper.py`."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Query = dict[str, str]
Answer = tuple[int, bytes]

#: What datagrepper adds to a message that was published without.
ADDED = {"source_name": "datanommer", "source_version": "0.9.0", "headers": {}}


def published(number: int, topic: str = "org.old.prod.shop.sold", **more: Any) -> dict[str, Any]:
    """A message as it was on the bus, that many seconds after the first one."""
    message = {"topic": topic, "msg_id": f"2014-{number}", "timestamp": 1400000000 + number, "i": 1}
    return {**message, "msg": {"user": "zoë 🐍"}, "username": "apache", **more}


class FakeDatagrepper:
    """Answers /raw as datagrepper does.

    Attributes:
        rows: The messages that it knows, as they were published.
        asked: The arguments of each request so far.
        troubles: What it answers first, one request each: a status and a body; None for no answer at all.
        claims: Keys of the answer that are not as they should be.
        before_answer: Called before each answer.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[Query] = []
        self.troubles: deque[Answer | None] = deque()
        self.claims: dict[str, Any] = {}
        self.before_answer: Callable[[], object] = lambda: None
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/raw"

    def __enter__(self) -> FakeDatagrepper:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, query: Query) -> Answer | None:
        """What a request gets; None for a connection that is closed without a word, when there was time to wait."""
        self.asked.append(query)
        self.before_answer()
        if not self.troubles:
            return 200, json.dumps({**self._page(query), **self.claims}).encode()
        trouble = self.troubles.popleft()
        if trouble is None:
            self._closing.wait()
        return trouble

    def _page(self, query: Query) -> dict[str, Any]:
        start, end = float(query["start"]), float(query["end"])
        found = [row for row in self.rows if start <= row["timestamp"] <= end]
        found.sort(key=lambda row: float(row["timestamp"]), reverse=query.get("order", "desc") == "desc")
        page, size = int(query.get("page", 1)), int(query.get("rows_per_page", 25))
        rows = [
            {**ADDED, **row, "timestamp": float(row["timestamp"])} for row in found[(page - 1) * size : page * size]
        ]
        return {
            "raw_messages": rows,
            "total": len(found),
            "pages": math.ceil(len(found) / size),
            "count": len(rows),
            "arguments": dict(query),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing it waits for them

    def __init__(self, datagrepper: FakeDatagrepper) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.datagrepper = datagrepper


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        answer = self.server.datagrepper.answer(dict(parse_qsl(urlsplit(self.path).query)))
        if answer is None:
            return
        status, body = answer
        with suppress(OSError):  # who asked has gone
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Do not."""
