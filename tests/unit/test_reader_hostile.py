# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reading what somebody hostile, or a full disk, has put in the place of a segment: an error of ours, and soon."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import glasshub_stats
from glasshub.segment import ProducerRow
from glasshub.stats import Outcome
from glasshub_stats import (
    SegmentAccessError,
    SegmentFormatError,
    SegmentNotFoundError,
    Snapshot,
    StatsError,
    layout,
    render,
    table,
    values,
)

from ..descriptors import descriptors
from ..fakes import PATIENCE
from .segments import live_segment, work

#: No reading may take longer, in seconds: collectd has one thread for all plugins of Python.
SOON = 2.0

on_any_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)

#: Bytes of a segment before its first row.
HEAD = layout.plan(1, 1)[0]["worker"].offset

numbers = st.sampled_from([0, 1, 7, 8, 64, 127, 2**16, 2**31, 2**32 - 8, 2**32 - 1, 2**63, 2**64 - 1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.stats"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a segment in which something has happened."""
    path = tmp_path_factory.mktemp("good") / "hub.stats"
    with live_segment(path, producers=[ProducerRow("digests", True, 60.0)]) as writer:
        writer.producers[0].began(time.monotonic_ns())
        writer.injections[0].injected(3)
        work(writer, 0, enqueued=9, processed=4, failed=2, in_flight=1)
        work(writer, 1, enqueued=5, processed=1, in_flight=2)
        writer.workers[0][0].finished(Outcome.INVALID, time.monotonic_ns())
        return path.read_bytes()


@contextmanager
def soon() -> Iterator[None]:
    """Fail if it takes too long."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < SOON


def look(path: Path) -> Snapshot | StatsError:
    """Read, soon, and leave no descriptor behind, whatever comes of it."""
    before = descriptors()
    with soon():
        found = _read(path)
    assert descriptors() <= before
    assert isinstance(found, Snapshot) or str(path) in str(found)
    return found


def _read(path: Path) -> Snapshot | StatsError:
    try:
        return glasshub_stats.read(str(path))
    except StatsError as error:
        return error


def look_at_everything(path: Path) -> Snapshot | StatsError:
    """Read, and show what was read in every way that we have."""
    found = look(path)
    if isinstance(found, Snapshot):
        with soon():
            interval = found.since(None)
            table.as_text(found, interval)
            list(values.of_interval(interval))
            render.as_json(found)
            render.as_openmetrics(found)
    return found


@given(st.binary(max_size=5000))
@on_any_file
def test_any_bytes_are_an_error_of_ours(path: Path, data: bytes) -> None:
    path.write_bytes(data)

    assert isinstance(look(path), SegmentFormatError)


@given(st.binary(max_size=layout.HEADER_SIZE))
@on_any_file
def test_any_bytes_behind_the_magic_are_an_error_of_ours(path: Path, data: bytes) -> None:
    path.write_bytes(layout.MAGIC + data)

    assert isinstance(look(path), SegmentFormatError)


@given(flips=st.lists(st.tuples(st.integers(0, HEAD - 1), st.integers(1, 255)), min_size=1, max_size=8))
@on_any_file
def test_flipped_bytes_in_the_tables_are_a_snapshot_or_an_error_of_ours(
    path: Path, good: bytes, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(good)
    for offset, mask in flips:
        data[offset] ^= mask
    path.write_bytes(data)

    look_at_everything(path)


@given(patches=st.lists(st.tuples(st.integers(0, HEAD // 4 - 2), numbers), min_size=1, max_size=4))
@on_any_file
def test_wrong_numbers_in_the_tables_are_a_snapshot_or_an_error_of_ours(
    path: Path, good: bytes, patches: list[tuple[int, int]]
) -> None:
    data = bytearray(good)
    for word, number in patches:
        struct.pack_into("=Q", data, 4 * word, number)
    path.write_bytes(data)

    look_at_everything(path)


@given(data=st.data())
@on_any_file
def test_wrong_numbers_in_the_rows_are_a_snapshot_or_an_error_of_ours(
    path: Path, good: bytes, data: st.DataObject
) -> None:
    rows = st.integers(HEAD // 8, len(good) // 8 - 1)
    hostile = bytearray(good)
    for slot, number in data.draw(st.lists(st.tuples(rows, numbers), min_size=1, max_size=20)):
        struct.pack_into("=Q", hostile, 8 * slot, number)
    path.write_bytes(hostile)

    look_at_everything(path)


def test_rows_full_of_the_largest_number_are_shown(path: Path, good: bytes) -> None:
    """But for the names, and the workers' consumers, which cannot be right."""
    sections, _ = layout.plan(4, 3, 1)
    hostile = bytearray(good)
    for section in sections.values():
        for row in range(section.rows):
            for name, field in section.fields.items():
                if field.kind != "text" and name != "consumer":
                    start = section.offset + row * section.row_size + field.offset
                    hostile[start : start + field.size] = b"\xff" * field.size
    path.write_bytes(hostile)

    found = look_at_everything(path)

    assert isinstance(found, Snapshot)
    assert found.consumer("datanommer").dequeued == 2**64 - 1
    assert found.producers[0].runs == 2**64 - 1


def test_a_segment_that_is_cut_short_anywhere_is_an_error_of_ours(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    assert isinstance(look(path), Snapshot)

    with soon():
        found = [_cut(path, length) for length in range(len(good) // 64 * 64 - 64, -1, -64)]

    assert {type(error) for error in found} == {SegmentFormatError}
    assert len(found) > 300


def _cut(path: Path, length: int) -> Snapshot | StatsError:
    os.truncate(path, length)
    return look(path)


def test_a_file_that_is_cut_and_written_anew_while_it_is_read_is_a_snapshot_or_an_error_of_ours(
    path: Path, good: bytes
) -> None:
    """A reader that mapped it would be killed by SIGBUS."""
    path.write_bytes(good)
    reads = threading.Semaphore(0)
    is_over = threading.Event()

    def change() -> None:
        with path.open("r+b", buffering=0) as file:
            while not is_over.is_set():
                file.truncate(len(good) // 3)
                file.seek(0)
                file.write(good)
                reads.release()

    changer = threading.Thread(target=change)
    changer.start()
    try:
        found = [look(path) for _ in range(500) if reads.acquire(timeout=PATIENCE)]
    finally:
        is_over.set()
        changer.join(PATIENCE)

    assert len(found) == 500
    assert {type(each) for each in found} <= {Snapshot, SegmentFormatError}


@pytest.mark.parametrize("number", [3, 2**31, 2**63, 2**64 - 1])
def test_a_worker_of_a_consumer_that_is_not_there_is_an_error_of_ours(path: Path, good: bytes, number: int) -> None:
    workers = layout.plan(4, 3)[0]["worker"]
    hostile = bytearray(good)
    struct.pack_into("=Q", hostile, workers.offset + workers.fields["consumer"].offset, number)
    path.write_bytes(hostile)

    assert isinstance(look(path), SegmentFormatError)


def test_nothing_there_is_an_error_that_says_so(path: Path) -> None:
    assert isinstance(look(path), SegmentNotFoundError)


def test_an_empty_file_is_no_segment(path: Path) -> None:
    path.touch()

    assert isinstance(look(path), SegmentFormatError)


def test_a_fifo_does_not_keep_its_reader(path: Path) -> None:
    os.mkfifo(path)

    assert isinstance(look(path), SegmentFormatError)


def test_a_fifo_that_somebody_writes_to_is_left_alone(path: Path, good: bytes) -> None:
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    try:
        os.write(both, good[:4096])

        assert isinstance(look(path), SegmentFormatError)
        assert os.read(both, 4096) == good[:4096]
    finally:
        os.close(both)


def test_a_directory_is_no_segment(path: Path) -> None:
    path.mkdir()

    assert isinstance(look(path), SegmentFormatError)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/random", "/dev/tty", "/proc/self/mem"])
def test_a_device_is_no_segment(path: Path, device: str) -> None:
    path.symlink_to(device)

    assert isinstance(look(path), (SegmentFormatError, SegmentAccessError))


def test_a_socket_is_no_segment(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))

        assert isinstance(look(path), SegmentAccessError)


def test_a_file_of_ten_gigabytes_is_not_read(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    os.truncate(path, 10 << 30)

    found = look(path)

    assert isinstance(found, SegmentFormatError)
    assert found.reason == f"{10 << 30} bytes are too many for a segment"


def test_a_segment_with_as_many_holes_as_are_allowed_is_read_soon(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    os.truncate(path, layout.MAX_BYTES)

    assert isinstance(look(path), Snapshot)


def test_a_circle_of_links_is_an_error_of_ours(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)

    assert isinstance(look(path), SegmentAccessError)


@pytest.mark.parametrize("name", ["x" * 300, "x/y"])
def test_a_path_that_cannot_be_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").touch()

    assert isinstance(look(tmp_path / name), SegmentAccessError)


def test_a_path_with_a_nul_is_an_error_of_ours() -> None:
    with pytest.raises(SegmentAccessError, match=r"not a path: .*embedded null"):
        glasshub_stats.read("/tmp/a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_segment_that_may_not_be_read_says_what_its_reader_needs(path: Path, good: bytes) -> None:
    path.write_bytes(good)
    path.chmod(0)

    found = look(path)

    assert isinstance(found, SegmentAccessError)
    assert "the reader needs the group or the mode" in found.reason
