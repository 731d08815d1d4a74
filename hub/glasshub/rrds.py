# SPDX-License-Identifier: LGPL-2.1-or-later
"""The RRD files that collectd keeps of hubs: which there are, what is in them, and having them written now.

collectd's rrdtool plugin writes `HOST/PLUGIN-INSTANCE/TYPE-INSTANCE.rrd` below its DataDir; what ours are called is
decided by `glasshub_stats.values`, and told to the operator in docs/collectd.md.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glasshub_stats import values

from .errors import HubError

#: Where collectd keeps its RRDs, and listens, unless its configuration says otherwise.
DATA_DIR = Path("/var/lib/collectd/rrd")
UNIXSOCK = Path("/run/collectd-unixsock")

#: The host of totals over all hosts, in packaging/collectd/aggregate.conf.
TOTALS = "all"

_PREFIX = "glasshub-"
_PRODUCER_PREFIX = "producer."
_SUFFIX = ".rrd"

#: Seconds that rrdtool may take, that collectd may take to answer, and to write.
_PATIENCE = 60.0
_ANSWER = 5.0
_WRITING = 3.0

#: Types of collectd's types.db, of those that we use, that are counters: in the files are rates.
DERIVED = ("operations", "total_time_in_ms")

#: Data sources of collectd's types.db that are not called `value`, of the types that we use.
_DATA_SOURCES = {"duration": "seconds"}


class RrdError(HubError):
    """There is nothing to read, or rrdtool or collectd do not do what is asked of them."""


@dataclass(frozen=True)
class HubFiles:
    """What there is of one hub.

    Attributes:
        host: What collectd calls the host.
        hub: What collectd calls the hub.
        files: The file of each value of the hub itself, by type and instance: `gauge-up`.
        consumers: The same for each consumer: `queue_length`, `operations-processed`.
        producers: The same for each producer.
    """

    host: str
    hub: str
    files: Mapping[str, Path]
    consumers: Mapping[str, Mapping[str, Path]]
    producers: Mapping[str, Mapping[str, Path]]


def find(data_dir: Path, host: str | None = None) -> list[HubFiles]:
    """Everything that collectd keeps of hubs, sorted by host and hub.

    Args:
        data_dir: The DataDir of collectd's rrdtool plugin.
        host: Leave out what is of other hosts.

    Raises:
        RrdError: The directory cannot be read, or has nothing of any hub.
    """
    try:
        hosts = [path for path in sorted(data_dir.iterdir()) if path.is_dir() and host in {None, path.name}]
        found = [hub for path in hosts for hub in _hubs(path)]
    except OSError as error:
        raise RrdError(
            f"cannot read {error.filename}: {error.strerror}: is that the DataDir of collectd's rrdtool plugin?"
        ) from error
    if not found:
        of_host = f" of host {host}" if host else ""
        raise RrdError(
            f"{data_dir} has no RRDs of a hub{of_host} (HOST/{_PREFIX}HUB/*{_SUFFIX}): does collectd run with its "
            f"rrdtool plugin and ours, and is that its DataDir? It keeps the first values to itself for a while"
        )
    return found


def called(name: str, names: Iterable[str]) -> str | None:
    """Which of collectd's names of hubs, or of consumers, an operator means; None for none of them.

    collectd's name of a consumer is not the consumer's own where that has strange characters in it, or is long.
    """
    known = set(names)
    candidates = (name, values.hub_instance(name), values.consumer_part(name))
    return next((candidate for candidate in candidates if candidate in known), None)


def data_source(path: Path) -> str:
    """What collectd calls the numbers in one of our files."""
    return _DATA_SOURCES.get(path.name.removesuffix(_SUFFIX).partition("-")[0], "value")


def table(
    paths: Sequence[Path], start: float, end: float, step: float, *, consolidation: str = "AVERAGE"
) -> tuple[list[float], list[list[float]]]:
    """The numbers in some files, by a single run of rrdtool.

    Args:
        paths: Of `HubFiles`.
        start, end: Unix times.
        step: Seconds from one number to the next; rrdtool may choose a longer one.
        consolidation: What becomes of several numbers in a step: AVERAGE, MAX or MIN.

    Returns:
        Unix times at which steps end, and for each file as many numbers; NaN where nothing is known.

    Raises:
        RrdError: rrdtool is not there, or cannot read the files.
    """
    seconds = max(round(step), 1)
    rows = max(math.ceil((end - start) / seconds), 10)  # rrdtool takes no fewer
    command = ["xport", "--json", "--start", f"{start:.0f}", "--end", f"{end:.0f}"]
    command += ["--step", str(seconds), "--maxrows", str(rows)]
    for number, path in enumerate(paths):
        command += [definition(f"d{number}", path, consolidation), f"XPORT:d{number}"]
    try:
        answer = json.loads(run(command))
    except RrdError as error:  # which does not always name the file
        raise RrdError(f"{error}; it was to read {', '.join(map(str, paths))}") from error
    begin, width = answer["meta"]["start"], answer["meta"]["step"]
    data = answer["data"]
    times = [float(begin + number * width) for number in range(len(data))]
    return times, [[math.nan if row[i] is None else float(row[i]) for row in data] for i in range(len(paths))]


def definition(name: str, path: Path, consolidation: str) -> str:
    """A DEF of rrdtool. Colons separate its parts; a backslash means itself, unless a colon follows."""
    place = str(path).replace(":", "\\:")
    return f"DEF:{name}={place}:{data_source(path)}:{consolidation}"


def escaped(text: str) -> str:
    """A text in a picture as rrdtool takes it, which ends with a colon there, and has a meaning for backslashes."""
    return text.replace("\\", "\\\\").replace(":", "\\:")


def rrdtool() -> str:
    """The program.

    Raises:
        RrdError: It is not installed.
    """
    program = shutil.which("rrdtool")
    if program is None:
        raise RrdError("rrdtool is not installed: apt-get install rrdtool, or dnf install rrdtool")
    return program


def run(
    arguments: Sequence[str],
    *,
    text: str | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Have rrdtool do something, in a locale whose numbers have dots.

    Args:
        arguments: Without the program's name.
        text: What it is given to read; nothing by default.
        directory: Where it runs; by default where we do.
        environment: Variables to set besides.

    Returns:
        What it prints.

    Raises:
        RrdError: It is not there, or cannot, and says why.
    """
    try:
        done = subprocess.run(
            [rrdtool(), *arguments],
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            cwd=directory,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RrdError(f"rrdtool {arguments[0]} failed: {error}") from error
    if done.returncode:
        raise RrdError(f"rrdtool {arguments[0]} failed: {done.stderr.strip().removeprefix('ERROR: ')}")
    return done.stdout


def feed(commands: Iterable[str], directory: Path) -> None:
    """Have one rrdtool do many things, for which `run` would start as many.

    Args:
        commands: A line each, as rrdtool reads them: words with spaces between them.
        directory: To which paths in them are relative.

    Raises:
        RrdError: As in `run`.
    """
    said = run(["-"], text="".join(f"{command}\n" for command in commands), directory=directory)
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    if errors:
        raise RrdError(f"rrdtool failed: {errors[0].removeprefix('ERROR: ')}")


def flush(unixsock: Path, paths: Iterable[Path], *, data_dir: Path) -> None:
    """Have collectd write what it has read and keeps in memory, and wait until it has, or for three seconds.

    Args:
        unixsock: The socket of its unixsock plugin.
        paths: Which files.
        data_dir: The directory in which they are.

    Raises:
        RrdError: collectd does not answer there.
    """
    names = {path.relative_to(data_dir).as_posix().removesuffix(_SUFFIX): path for path in paths}
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_ANSWER)
            client.connect(str(unixsock))
            read = _last_read(_asked(client, "LISTVAL"))
            for name in names:  # one by one: collectd reads no more than 1023 bytes of a command
                _asked(client, f'FLUSH plugin=rrdtool identifier="{name}"')
    except (OSError, ValueError) as error:
        raise RrdError(f"collectd does not answer at {unixsock}: {error}: name its socket with --flush") from error
    _await_written({path: read.get(name, 0.0) for name, path in names.items()})


def _hubs(host: Path) -> list[HubFiles]:
    parts: dict[str, dict[str, dict[str, Path]]] = {}
    for directory in sorted(path for path in host.iterdir() if path.name.startswith(_PREFIX) and path.is_dir()):
        # The first dot is ours: a hub's name has none here.
        hub, _, part = directory.name.removeprefix(_PREFIX).partition(".")
        files = {path.name.removesuffix(_SUFFIX): path for path in sorted(directory.glob(f"*{_SUFFIX}"))}
        parts.setdefault(hub, {})[part] = files
    return [_hub(host.name, hub, parts[hub]) for hub in sorted(parts)]


def _hub(host: str, hub: str, parts: Mapping[str, Mapping[str, Path]]) -> HubFiles:
    consumers = {part: files for part, files in parts.items() if part and not part.startswith(_PRODUCER_PREFIX)}
    producers = {
        part.removeprefix(_PRODUCER_PREFIX): files for part, files in parts.items() if part.startswith(_PRODUCER_PREFIX)
    }
    return HubFiles(host, hub, parts.get("", {}), consumers, producers)


def _asked(client: socket.socket, command: str) -> list[str]:
    """The lines of collectd's answer but the first, which counts them, or says what is wrong."""
    client.sendall(command.encode() + b"\n")
    with client.makefile(encoding="utf-8", errors="replace") as answer:
        status, _, text = answer.readline().rstrip("\n").partition(" ")
        if int(status) < 0:
            raise ValueError(text)
        return [answer.readline().rstrip("\n") for _ in range(int(status))]


def _last_read(lines: Iterable[str]) -> dict[str, float]:
    """When collectd has last read each value: what LISTVAL answers."""
    return {name: float(when) for when, _, name in (line.partition(" ") for line in lines)}


def _await_written(read: Mapping[Path, float]) -> None:
    """collectd answers a flush before it has written anything: a file is as new as what was read last when it has."""
    deadline = time.monotonic() + _WRITING
    while any(path.stat().st_mtime < when for path, when in read.items()) and time.monotonic() < deadline:
        time.sleep(0.02)
