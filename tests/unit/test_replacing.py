# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that are replaced whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from glasshub.replacing import replace_file


def test_contents_and_mode_are_the_new_ones_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    replace_file(path, b"new", mode=0o666)

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), OSError("no")], ids=repr)
def test_old_contents_stay_and_nothing_else_does_where_it_does_not_come_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise reason

    (tmp_path / "page.html").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail)

    with pytest.raises(type(reason)):
        replace_file(tmp_path / "page.html", b"new", mode=0o600)

    assert (tmp_path / "page.html").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_directory_in_its_place_is_told_from_one_in_which_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()

    with pytest.raises(IsADirectoryError) as in_its_place:
        replace_file(tmp_path / "page", b"new", mode=0o600)
    with pytest.raises(FileNotFoundError) as nowhere:
        replace_file(tmp_path / "none" / "page", b"new", mode=0o600)

    assert (in_its_place.value.filename2, nowhere.value.filename2) == (str(tmp_path / "page"), None)
