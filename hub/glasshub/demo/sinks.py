# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the demo's consumers send to, a process of its own: `python -m glasshub.demo.sinks`.

An IRC server that takes lines, and a push service that takes its time for each POST and refuses one of some hundreds.
The process says on its standard output where they listen, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import sys
import threading

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


class _PushService:
    """Just enough of HTTP/1.1 for the consumer."""

    def __init__(self, delay: float, refuse_every: int) -> None:
        self._delay = delay
        self._refuse_every = refuse_every
        self._count = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes."""
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length.group(1)) if length else 0)
                await asyncio.sleep(self._delay)
                writer.write(f"HTTP/1.1 {self._status()}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()

    def _status(self) -> str:
        return "503 Service Unavailable" if next(self._count) % self._refuse_every == 0 else "200 OK"


async def _take_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while await reader.readline():
            pass


async def _serve(options: argparse.Namespace) -> None:
    push = _PushService(options.delay, options.refuse_every)
    servers = {
        "irc": await asyncio.start_server(_take_lines, "127.0.0.1", 0),
        "push": await asyncio.start_server(push.serve, "127.0.0.1", 0),
    }
    where = {name: f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for name, server in servers.items()}
    sys.stdout.write(json.dumps({"event": "bound", **where}) + "\n")
    sys.stdout.flush()
    loop, has_ended = asyncio.get_running_loop(), asyncio.Event()

    def await_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(has_ended.set)

    threading.Thread(target=await_end, daemon=True).start()
    await has_ended.wait()


def main() -> int:
    """Run the sinks."""
    parser = argparse.ArgumentParser(prog="glasshub.demo.sinks", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.004, help="seconds that the push service takes")
    parser.add_argument("--refuse-every", type=int, default=300, help="it refuses every so manieth POST")
    asyncio.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
