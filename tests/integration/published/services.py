# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the consumers talk to: a web server with the services that they know, and an IRC server."""

from __future__ import annotations

import json
import socketserver
import threading
import xmlrpc.client
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: What answers a request: it gets the body of a POST, or b"".
Answer = Callable[[bytes], bytes]


class WebServer:
    """Answers each path as it was told to; what it does not know is a 404, which no consumer here survives.

    Attributes:
        answers: What makes the answer, for each path.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], name="web-server")
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread.start()

    def serve(self, path: str, content: str) -> None:
        """Have a page that is always the same."""
        self.answers[path] = lambda _: content.encode()

    def close(self) -> None:
        """Stop, and wait for the end."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = server.answers.get(urlsplit(self.path).path)
                if answer is None:
                    self.send_error(404)
                    return
                content = answer(body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Handler


class AccountSystem:
    """The groups of a Fedora Account System, as python-fedora asks for them."""

    def __init__(self, server: WebServer, members: list[str]) -> None:
        self.members = members
        self.url = f"{server.url}/accounts/"
        server.answers["/accounts/json/user_id"] = lambda _: _json(people=dict(enumerate(self.members)))
        server.answers["/accounts/group/dump"] = lambda _: _json(people=[self._person(name) for name in self.members])
        server.answers["/accounts/json/group_by_name"] = lambda _: _json(success=True, group=self._group())

    @staticmethod
    def _person(name: str) -> list[str]:
        return [name, f"{name}@example.com", name.title(), "user", "0"]

    def _group(self) -> dict[str, Any]:
        return {"approved_roles": [{"person_id": n} for n in range(len(self.members))], "unapproved_roles": []}


class Koji:
    """A build system, of which only one call has a consequence.

    Attributes:
        tagged: (tag, build) of each tagBuild, as they came.
    """

    def __init__(self, server: WebServer) -> None:
        self.tagged: list[tuple[str, str]] = []
        self.url = f"{server.url}/kojihub"
        server.answers["/kojihub"] = self._answer

    def _answer(self, body: bytes) -> bytes:
        arguments, method = xmlrpc.client.loads(body, use_builtin_types=True)
        result: Any = 1
        if method == "tagBuild":
            self.tagged.append((str(arguments[0]), str(arguments[1])))
            result = len(self.tagged)
        return xmlrpc.client.dumps((result,), methodresponse=True).encode()


class IrcServer:
    """Welcomes whoever comes, and remembers what is said.

    Attributes:
        said: (to whom, what) of each PRIVMSG, as they came.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], name="irc-server")
        self.port = self._server.server_address[1]
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait until everybody has gone."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    command, *rest = line.decode().rstrip("\r\n").split(" ", 2)
                    if command == "USER":
                        self.wfile.write(f":irc 001 {rest[0]} :Welcome\r\n".encode())
                    elif command == "PRIVMSG":
                        server.said.append((rest[0], rest[1].removeprefix(":")))

        return Handler


def _json(**content: Any) -> bytes:
    return json.dumps(content).encode()
