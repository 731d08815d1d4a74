# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a hub in which seven consumers each have another trouble, and has what it looks like in docs/incident.md.

Usage: python -m tools.incident [--seconds 70] [--output docs]

The figures are measured, and so are others each time: `make docs` leaves them alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glasshub import Consumer, Message
from glasshub_stats.render import as_text
from tests.integration.hubs import Bus, bus_in, hub_on

from .markdown import with_part

ROOT = Path(__file__).parent.parent

#: Between these two lines of the page stands what the hub says of itself.
BEGIN = "<!-- Begin of what `make incident` wrote; do not edit. -->\n"
END = "<!-- End of what `make incident` wrote. -->\n"

#: Messages a second.
RATE = 20

_NAME = "shop"
_TOPIC = "org.example.prod.shop.sold"
_CONFIG = """
[consumers.Ledger]
class = "tools.incident:Ledger"
[consumers.Search]
class = "tools.incident:Search"
[consumers.Mailer]
class = "tools.incident:Mailer"
[consumers.Accounts]
class = "tools.incident:Accounts"
[consumers.Printer]
class = "tools.incident:Printer"
max_processing = 5.0
[consumers.Chart]
class = "tools.incident:Chart"
group = "reports"
[consumers.Tally]
class = "tools.incident:Tally"
group = "reports"
"""


class Ledger(Consumer):
    """Has no trouble."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Take 5 ms."""
        time.sleep(0.005)


class Mailer(Consumer):
    """Is too slow for what comes."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Take 200 ms: five messages a second."""
        time.sleep(0.2)


class Search(Consumer):
    """Was too slow, and catches up."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Take 200 ms for the first messages, which lasts for 52 seconds, and then 25 ms."""
        time.sleep(0.2 if message.body["number"] < 13 * RATE else 0.025)


class Accounts(Consumer):
    """Fails."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Find no database every other time."""
        if message.body["number"] % 2:
            raise ConnectionError("no connection to the database")


class Printer(Consumer):
    """Hangs."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Wait for ever from the message of the 20th second on."""
        if message.body["number"] == 20 * RATE:
            threading.Event().wait()


class Chart(Consumer):
    """Holds up its group."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Take 100 ms."""
        time.sleep(0.1)


class Tally(Consumer):
    """Is held up by its group."""

    topics = ("",)

    def consume(self, message: Message) -> None:
        """Take 1 ms."""
        time.sleep(0.001)


def record(directory: Path, seconds: float, *, look: float = 10.0) -> str:
    """Have all of that happen; what `glasshub stats --watch` shows at the end.

    Args:
        directory: Gets the segment, and `recording.jsonl`, a second each line.
        seconds: How long.
        look: Seconds of the last interval, whose figures are shown.
    """
    first, last = round((seconds - look) * RATE), round(seconds * RATE)
    with bus_in(directory) as bus, hub_on(bus, directory, toml=_CONFIG, name=_NAME) as hub, _recorded(hub.segment):
        _publish(bus, range(1, first + 1))
        before = hub.snapshot()
        _publish(bus, range(first + 1, last + 1))
        now = hub.snapshot()
    return as_text(now, now.since(before))


def _publish(bus: Bus, numbers: range) -> None:
    """Publish messages of these numbers, and return when the next one is due."""
    begin = time.monotonic()
    for sent, number in enumerate(numbers, 1):
        bus.publish(_TOPIC, {"topic": _TOPIC, "msg_id": f"2026-{number}", "number": number, "msg": {}})
        time.sleep(max(begin + sent / RATE - time.monotonic(), 0))


@contextmanager
def _recorded(segment: Path) -> Iterator[None]:
    """Write down what a segment says, for as long as the context lasts."""
    watch = _command("stats", str(segment), "--watch", "1", "--format", "json")
    with (
        segment.with_name("recording.jsonl").open("wb") as lines,
        subprocess.Popen(watch, cwd=ROOT, stdout=lines) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "glasshub", *arguments]


def draw(recording: Path, picture: Path) -> None:
    """Draw what was recorded."""
    options = ["--from", str(recording), "--what", "backlog,oldest,busy", "--output", str(picture)]
    subprocess.run(_command("graph", *options), cwd=ROOT, check=True)


def page(text: str, shown: str) -> str:
    """The page with the figures in their place.

    Raises:
        ValueError: It has no place for them, or more than one.
    """
    block = "".join(f"    {line}".rstrip() + "\n" for line in shown.strip("\n").splitlines())
    return with_part(text, BEGIN, f"\n{block}\n", END)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, and write the page and its picture."""
    parser = argparse.ArgumentParser(prog="tools.incident", description=__doc__)
    parser.add_argument("--seconds", type=float, default=70.0)
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    options = parser.parse_args(arguments)
    document = options.output / "incident.md"
    with tempfile.TemporaryDirectory() as directory:
        shown = record(Path(directory), options.seconds)
        draw(Path(directory, "recording.jsonl"), options.output / "images" / "incident.png")
    document.write_text(page(document.read_text(encoding="utf-8"), shown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
