# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configuration that anybody could have written is refused, whatever the way to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasshub.errors import ConfigError
from glasshub.trust import refuse_unsafe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a directory in a directory, all safe."""
    directory = tmp_path / "above" / "own"
    directory.mkdir(parents=True)
    path = directory / "a.py"
    path.touch()
    for safe in (path, directory, directory.parent):
        safe.chmod(0o755)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        refuse_unsafe(path)
    return str(caught.value)


def anybody(path: Path, at: Path) -> str:
    """The complaint about a path, that anybody may write to something."""
    mode = at.stat().st_mode & 0o7777
    return (
        f"{path}: anybody may write to {at} (mode {mode:04o}): chmod o-w {at}, or give --allow-unsafe-config if that "
        f"is as it should be"
    )


def test_what_only_its_owner_may_write_to_is_accepted(file: Path) -> None:
    refuse_unsafe(file)
    refuse_unsafe(file.parent)


def test_what_a_group_may_write_to_is_accepted(file: Path) -> None:
    file.chmod(0o664)
    file.parent.chmod(0o2775)

    refuse_unsafe(file)


def test_a_file_that_anybody_may_write_to_is_refused(file: Path) -> None:
    file.chmod(0o646)

    assert refusal(file) == anybody(file, file)


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_the_directory_of_the_file_must_not_be_anybodys_even_if_it_is_sticky(file: Path, mode: int) -> None:
    file.parent.chmod(mode)

    assert refusal(file) == anybody(file, file.parent)
    assert refusal(file.parent) == anybody(file.parent, file.parent)


def test_a_directory_further_up_that_is_anybodys_is_refused(file: Path) -> None:
    above = file.parent.parent
    above.chmod(0o757)

    assert refusal(file) == anybody(file, above)


def test_a_sticky_directory_further_up_is_accepted(file: Path) -> None:
    """As /tmp is: nobody may replace what belongs to somebody else."""
    file.parent.parent.chmod(0o1777)

    refuse_unsafe(file)


def test_what_somebody_else_has_put_into_a_sticky_directory_is_refused(file: Path) -> None:
    above = file.parent.parent
    above.chmod(0o1777)

    with pytest.raises(
        ConfigError, match=rf"^{file}: /.* belongs to uid \d+, and anybody may put things into /.*: move"
    ):
        refuse_unsafe(file, owners=())


def test_the_owner_does_not_matter_elsewhere() -> None:
    """Software is often deployed by a user of its own."""
    refuse_unsafe(Path("/etc/passwd"), owners=())


def test_a_link_leads_to_what_it_points_to(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(file)

    refuse_unsafe(link)
    file.parent.chmod(0o777)

    assert refusal(link) == anybody(link, file.parent)


@pytest.mark.parametrize("is_relative", [False, True])
def test_every_directory_that_a_chain_of_links_passes_counts(file: Path, tmp_path: Path, is_relative: bool) -> None:
    middle = tmp_path / "middle"
    middle.mkdir()
    middle.chmod(0o755)
    (middle / "second").symlink_to(Path("..", "above") if is_relative else file.parent.parent)
    first = tmp_path / "first"
    first.symlink_to(Path("middle", "second") if is_relative else middle / "second")
    path = first / "own" / "a.py"

    refuse_unsafe(path)
    middle.chmod(0o777)

    assert refusal(path) == anybody(path, middle)
    middle.chmod(0o755)
    file.parent.parent.chmod(0o777)
    assert refusal(path) == anybody(path, file.parent.parent)


def test_a_relative_path_starts_here(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.parent.chmod(0o777)

    assert refusal(Path("a.py")) == anybody(Path("a.py"), file.parent)


def test_what_is_not_there_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nowhere")
    round_and_round = tmp_path / "round"
    round_and_round.symlink_to("round")

    for path in (tmp_path / "nope", dangling, round_and_round):
        refuse_unsafe(path)
