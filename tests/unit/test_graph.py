# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub graph`: drawn by the real rrdtool, from RRDs as collectd makes them and from recordings."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

import pytest

from glasshub import rrds
from glasshub.cli import EXIT_ERROR, EXIT_USAGE, graph, main
from glasshub.graph import PANELS, Ago, instant, panels, recorded
from glasshub.graph.stacking import stacked_png, stacked_svg
from glasshub_stats import Snapshot, read, values
from glasshub_stats.render import as_json

from ..needs import program
from .segments import live_segment, tell, work

#: When this is read; the tests may be run much later.
END = int(time.time()) // 60 * 60
LOOKS = 360
START = END - 10 * LOOKS


@pytest.fixture(autouse=True)
def _rrdtool() -> None:
    program("rrdtool")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An hour of two hubs as collectd keeps it; Badges has a backlog of 40 in the middle of it."""
    bump = [40.0 if LOOKS // 3 < i < LOOKS // 2 else 0.0 for i in range(LOOKS)]
    make(tmp_path, "web1", "fedmsg-hub", {"Badges": bump, "Mailer": [1.0] * LOOKS})
    make(tmp_path, "web1", "other-hub", {"Relay": [math.nan] * LOOKS})
    return tmp_path / "rrd"


def make(directory: Path, host: str, hub: str, consumers: dict[str, Sequence[float]]) -> None:
    """The RRDs of consumers with these backlogs; every message waits and takes a second."""
    commands = []
    for name, backlog in consumers.items():
        counts = [str(number) for number in range(0, 10 * len(backlog), 10)]
        written = {"queue_length": ["U" if math.isnan(number) else str(number) for number in backlog]}
        written |= {f"operations-{word}": counts for word in ("enqueued", "processed", "failed", "dropped")}
        for word in ("wait", "process"):
            written |= {f"latency-{word}-percentile-{percent}": ["1"] * len(backlog) for percent in (50, 95, 99.9)}
        place = f"rrd/{host}/glasshub-{hub}.{name}"
        (directory / place).mkdir(parents=True)
        for file, numbers in written.items():
            source = f"DS:value:{'DERIVE' if file.startswith('operations') else 'GAUGE'}:20:0:U"
            archives = " ".join(f"RRA:{kind}:0.1:1:400" for kind in ("AVERAGE", "MIN", "MAX"))
            commands.append(f"create {place}/{file}.rrd --start {START - 10} --step 10 {source} {archives}")
            updates = " ".join(f"{START + 10 * i}:{number}" for i, number in enumerate(numbers))
            commands.append(f"update {place}/{file}.rrd {updates}")
    rrds.feed(commands, directory)


def run(data_dir: Path, *arguments: object) -> int:
    """Draw the hour, or what the arguments say."""
    since, until = (f"{datetime.fromtimestamp(instant):%Y-%m-%dT%H:%M}" for instant in (START, END))
    hour = ["--since", since, "--until", until]
    return main(["graph", "--data-dir", str(data_dir), *hour, *map(str, arguments)])


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with every argument that rrdtool is given to draw with: letters in a picture are but shapes."""
    found = program("rrdtool")
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "rrdtool"
    log = tmp_path / "asked"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = graph ] && printf "%s\\n" "$@" >>"{log}"\nexec {found} "$@"\n', encoding="utf-8"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return log


def pixels(picture: bytes) -> list[list[bytes]]:
    """The pixels of each line of a PNG of 8-bit RGB or RGBA, decoded as the standard says."""
    width, height, _, kind = struct.unpack_from(">IIBB", picture, 16)
    size = {2: 3, 6: 4}[kind]
    at, packed = 8, b""
    while at < len(picture):
        length, name = struct.unpack_from(">I4s", picture, at)
        packed += picture[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    data = zlib.decompress(packed)
    above, lines = bytearray(width * size), []
    for number in range(height):
        begin = number * (width * size + 1)
        above = _unfiltered(data[begin], data[begin + 1 : begin + 1 + width * size], above, size)
        lines.append([bytes(above[i : i + 3]) for i in range(0, len(above), size)])
    return lines


def _unfiltered(kind: int, line: bytes, above: bytearray, size: int) -> bytearray:
    raw = bytearray(line)
    for i in range(len(raw)):
        left, corner = (raw[i - size], above[i - size]) if i >= size else (0, 0)
        up = above[i]
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda one: abs(guess - one))
        raw[i] = (raw[i] + (0, left, up, (left + up) // 2, paeth)[kind]) & 0xFF
    return raw


def filtered(kind: int, width: int = 40, height: int = 3) -> bytes:
    """A PNG of RGB whose lines all have a filter of that kind."""
    lines = b"".join(bytes([kind]) + os.urandom(3 * width) for _ in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines))]
    chunks.append((b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


BLUE, VERMILION = bytes.fromhex("0072B2"), bytes.fromhex("D55E00")

#: Light blue, and a grey band upon white.
SKY, BAND = bytes.fromhex("56B4E9"), bytes.fromhex("CFCFCF")


class TestPicture:
    def test_the_curve_rises_where_the_backlog_was(self, data_dir: Path, tmp_path: Path) -> None:
        assert run(data_dir, "Badges", "--what", "backlog", "--output", tmp_path / "a.png") == 0

        lines = pixels((tmp_path / "a.png").read_bytes())
        plane = lines[:200]  # the legend is below
        left = (len(lines[0]) - 800) * 4 // 5  # most of what is not the plane is the axis, on the left

        def highest(share: float) -> int:
            column = left + int(share * 800)
            blue = (i for i, line in enumerate(plane) if BLUE in line[column - 3 : column + 3])
            return next(blue, len(plane))  # a curve at 0 is below the axis

        assert highest(0.42) < 50  # in the bump, of a plane of 180 pixels
        assert highest(0.1) > 150
        assert highest(0.9) > 150

    def test_a_peak_of_one_look_keeps_its_height_in_a_picture_of_a_long_time(self, tmp_path: Path) -> None:
        make(tmp_path, "web1", "hub", {"Mailer": [40.0 if i == LOOKS // 2 else 10.0 for i in range(LOOKS)]})

        # A pixel stands for 36 seconds.
        run(tmp_path / "rrd", "Mailer", "--what", "backlog", "--size", "100x100", "--output", tmp_path / "a.png")

        blue = [i for i, line in enumerate(pixels((tmp_path / "a.png").read_bytes())[:125]) if BLUE in line]
        assert max(blue) - min(blue) > 50  # from a quarter of the plane to its top

    def test_all_consumers_of_a_hub_are_drawn_each_in_its_colour(self, data_dir: Path, tmp_path: Path) -> None:
        options = ["--what", "backlog", "--size", "200x100", "--output", tmp_path / "a.png"]
        assert run(data_dir, "--hub", "fedmsg-hub", *options) == 0

        found = {pixel for line in pixels((tmp_path / "a.png").read_bytes()) for pixel in line}
        assert {BLUE, VERMILION} <= found

    def test_panels_are_below_each_other(self, data_dir: Path, tmp_path: Path) -> None:
        span = [
            "--since",
            datetime.fromtimestamp(START).isoformat(),
            "--until",
            datetime.fromtimestamp(END).isoformat(),
        ]
        for name, what in (("one", "backlog"), ("two", "rates"), ("both", "backlog,rates")):
            options = ["--what", what, "--size", "200x100", "--output", tmp_path / f"{name}.png"]
            run(data_dir, "Badges", *span, *options)

        one, two, both = (pixels((tmp_path / f"{name}.png").read_bytes()) for name in ("one", "two", "both"))
        assert both[20:120] == one[20:120]
        assert both[-len(two) :][20:120] == two[20:120]

    def test_an_svg_has_every_panel_and_no_id_twice(self, data_dir: Path, tmp_path: Path) -> None:
        assert run(data_dir, "Badges", "--output", tmp_path / "a.svg") == 0

        root = ElementTree.parse(tmp_path / "a.svg").getroot()
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        used = {value.removeprefix("#") for each in root.iter() for key, value in each.items() if key.endswith("href")}
        assert len(root.findall("{http://www.w3.org/2000/svg}g[@transform]")) == 4
        assert len(ids) == len(set(ids))
        assert used
        assert used <= set(ids)

    def test_size_is_that_of_a_panels_plane(self, data_dir: Path, tmp_path: Path) -> None:
        for size in ("300x100", "500x150"):
            run(data_dir, "Badges", "--what", "backlog", "--size", size, "--output", tmp_path / f"{size}.png")

        small, large = (
            struct.unpack_from(">II", (tmp_path / f"{size}.png").read_bytes(), 16) for size in ("300x100", "500x150")
        )
        assert (large[0] - small[0], large[1] - small[1]) == (200, 50)

    def test_an_older_picture_is_replaced_whole_and_may_be_read_by_others(self, data_dir: Path, tmp_path: Path) -> None:
        target = tmp_path / "a.png"
        target.write_bytes(b"old")
        before = target.stat().st_ino

        run(data_dir, "Badges", "--output", target)

        assert target.stat().st_ino != before
        assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
        assert not list(tmp_path.glob(".a.png*"))


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


class TestWords:
    def test_legend_has_name_last_highest_and_average(self, data_dir: Path, tmp_path: Path, asked: Path) -> None:
        run(data_dir, "Badges", "--what", "backlog,wait", "--output", tmp_path / "a.png")

        assert re.search(r"^COMMENT: +last +highest +average\\l$", asked.read_text(), re.MULTILINE)
        assert re.search(r"^LINE2:c0#0072B2:Badges +0 +40 +[67]\\l$", asked.read_text(), re.MULTILINE)
        assert re.search(r"^LINE2:c1#D55E00:Badges p95 +1.0s +1.0s +1.0s\\l:dashes", asked.read_text(), re.MULTILINE)

    def test_a_length_of_time_is_that_before_now_at_both_ends(
        self, data_dir: Path, tmp_path: Path, asked: Path
    ) -> None:
        run(data_dir, "Badges", "--since", "40m", "--until", "10m", "--output", tmp_path / "a.png")

        told = asked.read_text().splitlines()
        start, end = (int(told[told.index(option) + 1]) for option in ("--start", "--end"))
        assert end - start == pytest.approx(1800, abs=1)
        assert time.time() - end == pytest.approx(600, abs=30)

    def test_the_day_before_the_end_is_drawn_when_no_begin_is_named(
        self, data_dir: Path, tmp_path: Path, asked: Path
    ) -> None:
        main(["graph", "--data-dir", str(data_dir), "Badges", "--until", "1m", "--output", str(tmp_path / "a.png")])

        told = asked.read_text().splitlines()
        start, end = (int(told[told.index(option) + 1]) for option in ("--start", "--end"))
        assert end - start == pytest.approx(86400, abs=1)

    def test_what_is_not_known_is_a_dash(self, data_dir: Path, tmp_path: Path, asked: Path) -> None:
        run(data_dir, "Relay", "--output", tmp_path / "a.png")

        assert re.search(r"^LINE2:c0#0072B2:Relay +- +- +-\\l$", asked.read_text(), re.MULTILINE)

    def test_title_has_hub_and_host_and_the_axis_its_unit(self, data_dir: Path, tmp_path: Path, asked: Path) -> None:
        run(data_dir, "Badges", "--output", tmp_path / "a.png")

        told = asked.read_text().splitlines()
        labels = [told[i + 1] for i, line in enumerate(told) if line == "--vertical-label"]
        assert "Backlog · fedmsg-hub on web1" in told
        assert labels == ["messages", "messages/second", "milliseconds", "milliseconds"]

    @pytest.mark.parametrize(
        ("backlog", "unit"),
        [(0.0, "seconds"), (0.01, "milliseconds"), (50.0, "seconds"), (600.0, "minutes"), (8e5, "days")],
    )
    def test_the_axis_of_durations_has_a_unit_that_suits_them(
        self, tmp_path: Path, asked: Path, backlog: float, unit: str
    ) -> None:
        make(tmp_path, "web1", "hub", {"Mailer": [backlog] * LOOKS})
        directory = tmp_path / "rrd/web1/glasshub-hub.Mailer"
        rrds.run(["tune", str(directory / "queue_length.rrd"), "--data-source-rename", "value:seconds"])
        (directory / "queue_length.rrd").rename(directory / "duration-oldest.rrd")

        run(tmp_path / "rrd", "Mailer", "--what", "oldest", "--output", tmp_path / "a.png")

        told = asked.read_text().splitlines()
        assert told[told.index("--vertical-label") + 1] == unit

    def test_times_are_of_the_local_zone(
        self, data_dir: Path, tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "XST-5")  # five hours east
        time.tzset()
        try:
            run(data_dir, "Badges", "--output", tmp_path / "a.png")
        finally:
            monkeypatch.delenv("TZ")
            time.tzset()

        (shown,) = re.findall(r"COMMENT:(\S+ \S+) to (\S+ \S+) XST", asked.read_text())
        expected = tuple(
            f"{datetime.fromtimestamp(instant + 5 * 3600, timezone.utc):%Y-%m-%d %H:%M:%S}" for instant in (START, END)
        )
        assert tuple(text.replace("\\", "") for text in shown) == expected

    def test_a_long_name_is_shortened_in_its_middle(self, tmp_path: Path, asked: Path) -> None:
        name = "fedmsg.consumers.example:" + "a" * 30 + "Consumer"
        make(tmp_path, "web1", "hub", {name: [1.0] * LOOKS})

        run(tmp_path / "rrd", name, "--what", "backlog", "--size", "400x100", "--output", tmp_path / "a.png")

        assert re.search(r":fedmsg\S+….*Consumer +1", asked.read_text())

    def test_help_lists_what_can_be_drawn(self) -> None:
        assert tuple(PANELS) == graph.WORDS


class TestChoice:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["Nobody"], "there is no consumer 'Nobody', but Badges, Mailer, Relay"),
            (["Badges", "--hub", "nohub"], "there is no hub 'nohub', but fedmsg-hub, other-hub"),
            (["Badges", "--host", "web9"], "no RRDs of a hub of host web9"),
            (["Badges", "Relay"], "no hub has all of Badges, Relay: draw those of one hub at a time"),
            (
                [],
                "more than one hub has consumers: choose with --hub, or --host: fedmsg-hub on web1, other-hub on web1",
            ),
            (["Badges", "--what", "busy"], "there is no file for 'Busy workers' of Badges"),
            (["Badges", "--until", "2d", "--since", "3d"], "nothing is known of fedmsg-hub on web1 from"),
            (["Badges", "--output", "/nonexistent/a.png"], "cannot write /nonexistent/a.png: No such file"),
        ],
    )
    def test_what_is_not_there_is_told_with_what_is(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        assert run(data_dir, *arguments) == EXIT_ERROR

        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--what", "backlog,nonsense"], "--what: nonsense is none of backlog, "),
            (["--what", ","], "--what: nothing is none of"),
            (["--size", "800"], "--size: '800' is not WIDTHxHEIGHT"),
            (["--size", "99x99"], "each from 100 to 4000 pixels"),
            (["--output", "a.gif"], "--output: 'a.gif' ends with none of .png, .svg"),
            (["--since", "tomorrow"], "--since: 'tomorrow' is neither a length of time (1d, 1h30m) nor a date"),
            (["--until", "99999w"], "--until: '99999w' is neither"),
            (["--since", "1h", "--until", "2h"], "--since 1h: is not before the end"),
        ],
    )
    def test_what_makes_no_sense_is_told_in_a_line(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        assert run(data_dir, "Badges", *arguments) == EXIT_USAGE

        assert said in capsys.readouterr().err

    def test_a_socket_that_was_named_has_to_answer(
        self, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(data_dir, "Badges", "--flush", tmp_path / "none") == EXIT_ERROR

        assert "collectd does not answer at" in capsys.readouterr().err

    def test_a_socket_that_is_merely_there_costs_no_picture(
        self, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "sock").touch()
        monkeypatch.setattr(rrds, "UNIXSOCK", tmp_path / "sock")

        assert run(data_dir, "Badges", "--output", tmp_path / "a.png") == 0

        assert "the last minutes may be missing" in capsys.readouterr().err
        assert (tmp_path / "a.png").exists()

    def test_a_missing_rrdtool_is_told_of(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        assert run(data_dir, "Badges") == EXIT_ERROR

        assert "apt-get install rrdtool" in capsys.readouterr().err


class TestBroker:
    """Badges has 20 messages at hand, and 100 on the broker, of which nothing was heard in the last third."""

    @pytest.fixture
    def data_dir(self, tmp_path: Path) -> Path:
        ready = [math.nan if i > 2 * LOOKS // 3 else 100.0 for i in range(LOOKS)]
        parts = {"": [20.0] * LOOKS, "-broker-ready": ready, "-total": [20 + number for number in ready]}
        for suffix, numbers in parts.items():
            make(tmp_path / "made", "web1", f"hub{suffix}", {"Badges": numbers, "Mailer": [5.0] * LOOKS})
            source = tmp_path / f"made/rrd/web1/glasshub-hub{suffix}.Badges/queue_length.rrd"
            target = tmp_path / f"rrd/web1/glasshub-hub.Badges/queue_length{suffix}.rrd"
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        (tmp_path / "made/rrd/web1/glasshub-hub.Mailer").rename(tmp_path / "rrd/web1/glasshub-hub.Mailer")
        return tmp_path / "rrd"

    def test_what_waits_on_a_broker_stands_on_what_waits_here(
        self, data_dir: Path, tmp_path: Path, asked: Path
    ) -> None:
        assert run(data_dir, "Badges", "--what", "backlog", "--output", tmp_path / "a.png") == 0

        told = asked.read_text()
        assert re.search(r"^AREA:c0#0072B2:Badges here +20 +20 +20\\l$", told, re.MULTILINE)
        assert re.search(r"^AREA:c1#56B4E9:Badges on the broker +100 +100 +100\\l:STACK$", told, re.MULTILINE)

    def test_a_band_stands_where_nobody_knows_what_waits_there(self, data_dir: Path, tmp_path: Path) -> None:
        run(data_dir, "Badges", "--what", "backlog", "--output", tmp_path / "a.png")

        line = pixels((tmp_path / "a.png").read_bytes())[100]  # in the middle, above what is here
        left = (len(line) - 800) * 4 // 5
        known, unknown = line[left : left + 500], line[left + 560 :]
        assert (SKY in known, BAND in known) == (True, False)
        assert (SKY in unknown, BAND in unknown) == (False, True)

    def test_a_consumer_among_others_has_a_curve_of_all_that_waits(
        self, data_dir: Path, tmp_path: Path, asked: Path
    ) -> None:
        assert run(data_dir, "Badges", "Mailer", "--what", "backlog", "--output", tmp_path / "a.png") == 0

        assert re.search(r"^LINE2:c0#0072B2:Badges +120 +120 +120\\l$", asked.read_text(), re.MULTILINE)
        assert re.search(r"^LINE2:c1#D55E00:Mailer +5 +5 +5\\l", asked.read_text(), re.MULTILINE)

    def test_a_recording_has_it_too(self, tmp_path: Path) -> None:
        looks = []
        with live_segment(tmp_path / "h.stats") as writer:
            for ready in (7, 8):
                tell(writer, ready=ready)
                snapshot = read(str(tmp_path / "h.stats"))
                snapshot.time = START + 10.0 * ready
                looks.append(as_json(snapshot) + "\n")
        (tmp_path / "h.jsonl").write_text("".join(looks), encoding="utf-8")

        recorded(tmp_path / "h.jsonl", tmp_path / "rrd")

        (hub,) = rrds.find(tmp_path / "rrd")
        assert "queue_length-broker-ready" in hub.consumers["datanommer"]
        assert "queue_length-broker-ready" not in hub.consumers["ircbot"]


#: The files of a consumer for whom collectd keeps other percentiles.
FILES = {f"latency-wait-percentile-{percent}": Path(f"{percent}") for percent in (99, 90, 99.9, 50)}
FILES |= {f"operations-{word}": Path(word) for word in ("enqueued", "processed")}


class TestPanels:
    def test_a_consumer_alone_has_every_percentile_in_order(self) -> None:
        (panel,) = panels(["wait"], {"Mailer": FILES})

        assert [curve.label for curve in panel.curves] == [
            f"Mailer p{percent}" for percent in ("50", "90", "99", "99.9")
        ]

    def test_one_of_several_has_the_percentile_next_to_95(self) -> None:
        (panel,) = panels(["wait"], {"Mailer": FILES, "Badges": FILES})

        assert [curve.label for curve in panel.curves] == ["Mailer p99", "Badges p99"]

    def test_curves_of_one_of_several_have_its_colour_and_the_main_one_is_thick(self) -> None:
        (panel,) = panels(["rates"], {"Mailer": FILES, "Badges": FILES})

        first, second, third, _ = panel.curves
        assert (first.colour, first.width, second.width) == (second.colour, 1, 2)
        assert third.colour != first.colour

    def test_no_two_of_many_consumers_look_the_same(self) -> None:
        many = {f"c{number}": {"queue_length": Path("x")} for number in range(42)}

        (panel,) = panels(["backlog"], many)

        assert len({(curve.colour, curve.dash) for curve in panel.curves}) == 42


class TestStacking:
    def test_lines_stay_what_they_are_whatever_filter_they_have(self) -> None:
        pictures = [filtered(kind) for kind in (0, 1, 2, 3, 4)]

        stacked = pixels(stacked_png(pictures))

        assert stacked == [line for picture in pictures for line in pixels(picture)]

    def test_pictures_of_several_widths_are_refused(self) -> None:
        with pytest.raises(ValueError, match="of several kinds"):
            stacked_png([filtered(0), filtered(0, width=41)])

    def test_what_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a PNG that is none"):
            stacked_png([b"GIF"])
        with pytest.raises(ValueError, match="an SVG that is none"):
            stacked_svg(["<html/>"])


class TestInstant:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400), ("2w", 14 * 86400)]
    )
    def test_a_length_of_time_is_that_long_ago(self, text: str, seconds: float) -> None:
        assert instant(text) == Ago(seconds)

    def test_a_date_is_of_the_local_zone_unless_it_has_one(self) -> None:
        assert instant("2026-03-01T08:00") == datetime(2026, 3, 1, 8).timestamp()
        assert instant("2026-03-01T08:00+01:00") == 1772348400
        assert instant("2026-03-01") == datetime(2026, 3, 1).timestamp()

    def test_a_time_is_of_today(self) -> None:
        assert instant("08:15") == datetime.now().replace(hour=8, minute=15, second=0, microsecond=0).timestamp()

    @pytest.mark.parametrize("text", ["", "0s", "1", "-1h", "1y", "25:00", "0001-01-01", "1h 30m"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither a length of time"):
            instant(text)


class TestRecording:
    @pytest.fixture
    def looks(self, tmp_path: Path) -> Iterator[list[Snapshot]]:
        with live_segment(tmp_path / "hub.stats", name="hüb") as writer:
            found = []
            for number in (3, 5, 7):
                work(writer, 0, enqueued=number + 2, processed=number, failed=1)
                found.append(read(str(tmp_path / "hub.stats")))
            yield found

    @staticmethod
    def write(path: Path, looks: Sequence[Snapshot]) -> None:
        """As `glasshub stats --watch` writes them, ten seconds apart."""
        lines = []
        for number, (older, newer) in enumerate(zip([None, *looks], looks)):
            look = json.loads(as_json(newer, newer.since(older) if older else None))
            lines.append(json.dumps({**look, "time": START + 10 * number}) + "\n")
        path.write_text("".join(lines), encoding="utf-8")

    def test_it_becomes_what_the_plugin_would_have_dispatched(self, looks: list[Snapshot], tmp_path: Path) -> None:
        self.write(tmp_path / "a.jsonl", looks)

        span = recorded(tmp_path / "a.jsonl", tmp_path / "rrd")

        told = list(values.of_interval(looks[-1].since(looks[-2])))
        by_name = {
            f"{v.plugin}-{v.plugin_instance}/{v.type}" + f"-{v.type_instance}" * bool(v.type_instance): v for v in told
        }
        files = sorted((tmp_path / "rrd").rglob("*.rrd"))
        assert list(span) == [float(START), float(START + 20)]
        assert {f"{file.parent.name}/{file.stem}" for file in files} == {name.removesuffix(".rrd") for name in by_name}
        for file, last in zip(files, self.last(files)):
            value = by_name[f"{file.parent.name}/{file.stem}"]
            assert last == pytest.approx(value.value, rel=1e-6, abs=0.1, nan_ok=True), file

    @staticmethod
    def last(files: Sequence[Path]) -> list[float]:
        """The number that each file was given last."""
        return [float(rrds.run(["lastupdate", str(file)]).split(":")[-1].replace("U", "nan")) for file in files]

    def test_a_first_look_knows_no_interval(self, looks: list[Snapshot], tmp_path: Path) -> None:
        self.write(tmp_path / "a.jsonl", looks[:2])

        recorded(tmp_path / "a.jsonl", tmp_path / "rrd")

        (hub,) = rrds.find(tmp_path / "rrd")
        dumped = rrds.run(["dump", str(hub.consumers["datanommer"]["percent-busy"])])
        first, second = re.findall(r"<v>(\S+)</v></row>", dumped)[-2:]
        assert first == "NaN"
        assert float(second) > 0

    def test_it_is_drawn_as_a_whole(self, looks: list[Snapshot], tmp_path: Path, asked: Path) -> None:
        self.write(tmp_path / "a.jsonl", looks)

        code = main(["graph", "datanommer", "--from", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "a.png")])

        told = asked.read_text().splitlines()
        assert code == 0
        assert told[told.index("--start") + 1] == str(START)
        assert told[told.index("--end") + 1] == str(START + 20)
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert re.search(r"LINE2:c0\S+:datanommer +3 +3 ", asked.read_text())

    def test_a_restart_of_the_hub_makes_no_peak(self, looks: list[Snapshot], tmp_path: Path) -> None:
        self.write(tmp_path / "a.jsonl", [*looks, looks[0], looks[1]])

        recorded(tmp_path / "a.jsonl", tmp_path / "rrd")

        (hub,) = rrds.find(tmp_path / "rrd")
        _, (rates,) = rrds.table([hub.consumers["datanommer"]["operations-processed"]], START, START + 40, 10)
        assert max(rate for rate in rates if not math.isnan(rate)) < 1

    def test_a_line_that_is_not_whole_yet_is_left_out(self, looks: list[Snapshot], tmp_path: Path) -> None:
        self.write(tmp_path / "a.jsonl", looks)
        with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"path": "/run')

        assert recorded(tmp_path / "a.jsonl", tmp_path / "rrd") == (START, START + 20)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("no\n", "line 1 is not what"),
            ("[]\n", "line 1 is not what"),
            ('{"hub": {}}\n', "line 1 is not what"),
            ("[" * 100_000 + "\n", "line 1 is not what"),
            ("", "less than two looks"),
        ],
    )
    def test_what_is_none_is_told_of(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
    ) -> None:
        (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")

        assert main(["graph", "--from", str(tmp_path / "a.jsonl")]) == EXIT_ERROR

        assert said in capsys.readouterr().err

    def test_what_is_collectds_goes_not_with_a_recording(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["graph", "--from", "a.jsonl", "--host", "web1"]) == EXIT_USAGE

        assert "--from: needs no --flush and no --host" in capsys.readouterr().err

    def test_an_end_before_it_begins_is_told_of(
        self, looks: list[Snapshot], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.write(tmp_path / "a.jsonl", looks)

        assert main(["graph", "--from", str(tmp_path / "a.jsonl"), "--until", "1d"]) == EXIT_USAGE

        assert "--until 1d: is not after the begin" in capsys.readouterr().err

    def test_a_time_that_is_no_number_is_told_of(
        self, looks: list[Snapshot], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        look = json.loads(as_json(looks[0]))
        (tmp_path / "a.jsonl").write_text(json.dumps({**look, "time": math.inf}) + "\n", encoding="utf-8")

        assert main(["graph", "--from", str(tmp_path / "a.jsonl")]) == EXIT_ERROR

        assert "line 1 is not what" in capsys.readouterr().err

    def test_an_absent_file_is_told_of(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["graph", "--from", str(tmp_path / "none")]) == EXIT_ERROR

        assert "cannot read" in capsys.readouterr().err
