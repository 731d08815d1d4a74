# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a library of fedmsg's or Moksha's does not work, an operator reads which one, and what to install."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from glasshub.compat import libraries
from glasshub.compat.fedmsg_config import FedmsgConfigFiles
from glasshub.compat.libraries import blame_libraries, require_moksha
from glasshub.config import Config, HubSection
from glasshub.errors import MissingLibraryError
from glasshub.roster import Roster


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where modules can be put that are found first; what is wanted of fedmsg is a module there."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(libraries, "_NEEDED", ("fedmsg_of_the_test",))
    monkeypatch.delitem(sys.modules, "fedmsg_of_the_test", raising=False)
    return tmp_path / "fedmsg_of_the_test.py"


def test_libraries_that_work_are_not_complained_about() -> None:
    require_moksha()


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        (
            "pkg_resources",
            "pip install 'setuptools<81' (on Fedora and EPEL python3-setuptools): Moksha imports pkg_res",
        ),
        ("fedmsg", "pip install 'fedmsg[consumers,crypto_ng]>=1.1' (on Fedora and EPEL python3-fedmsg)"),
        ("moksha.hub", "pip install 'moksha.hub' (on Fedora and EPEL python3-moksha-hub)"),
        ("moksha.common", "pip install 'moksha.common' (on Fedora and EPEL python3-moksha-common)"),
        ("twisted", "pip install 'Twisted' (on Fedora and EPEL python3-twisted)"),
        ("zmq", "pip install 'pyzmq' (on Fedora and EPEL python3-zmq)"),
        ("kitchen", "pip install 'kitchen' (on Fedora and EPEL python3-kitchen)"),
        ("requests", "pip install 'requests' (on Fedora and EPEL python3-requests)"),
        ("psutil", "pip install 'psutil' (on Fedora and EPEL python3-psutil)"),
    ],
)
def test_what_is_missing_is_an_error_that_says_what_to_install(missing: str, remedy: str) -> None:
    """In an interpreter of its own, in which nobody has imported fedmsg yet."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from glasshub.compat.libraries import require_moksha\n"
        f"try: require_moksha()\n"
        f"except Exception as error: print(type(error).__name__, error)"
    )

    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout

    assert said.startswith("MissingLibraryError consumers of fedmsg cannot be loaded: ")
    assert remedy in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "where"),
    [
        (
            "raise AttributeError('module lib\\n has no X')",
            "AttributeError in fedmsg_of_the_test: module lib has no X: ",
        ),
        ("import json; json.no_such_thing", "AttributeError in fedmsg_of_the_test: module 'json' has no attribute"),
        ("from json import no_such_thing", "ImportError in json: cannot import name"),
    ],
)
def test_a_library_that_raises_whatever_it_likes_is_an_error_of_one_line(broken: Path, code: str, where: str) -> None:
    broken.write_text(code)

    with pytest.raises(MissingLibraryError) as caught:
        require_moksha()

    said = str(caught.value)
    assert where in said
    assert ": this version does not go with the others: pip install --upgrade '" in said
    assert "\n" not in said


def test_the_library_whose_code_raised_is_the_one_to_upgrade(broken: Path) -> None:
    """Seen with pyOpenSSL 22 and cryptography 50, far below fedmsg."""
    (broken.parent / "OpenSSL").mkdir()
    (broken.parent / "OpenSSL" / "__init__.py").write_text("raise AttributeError('X509_V_FLAG')")
    broken.write_text("import sys; sys.modules.pop('OpenSSL', None); import OpenSSL")
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "OpenSSL"}

    try:
        with pytest.raises(MissingLibraryError, match=r"AttributeError in OpenSSL: .* --upgrade 'pyOpenSSL' \(on "):
            require_moksha()
    finally:
        sys.modules.update(kept)


def test_a_module_that_is_called_as_its_library_needs_no_list(broken: Path) -> None:
    broken.write_text("import no_such_library.part")

    with pytest.raises(MissingLibraryError, match=r"pip install 'no_such_library' \(on Fedora and EPEL python3-no_su"):
        require_moksha()


def failure_of(module: str) -> BaseException:
    with pytest.raises(ImportError) as caught:
        importlib.import_module(module)
    return caught.value


def test_a_consumer_of_fedmsg_that_cannot_be_imported_is_blamed_on_what_is_missing(broken: Path) -> None:
    broken.write_text("import no_such_library")

    with pytest.raises(MissingLibraryError, match="pip install 'no_such_library'"):
        blame_libraries(failure_of("fedmsg.no_such_module"))


def test_a_consumer_that_cannot_be_imported_is_to_blame_itself_where_fedmsg_works() -> None:
    blame_libraries(failure_of("fedmsg.no_such_module"))


def test_a_consumer_that_has_nothing_to_do_with_fedmsg_is_to_blame_itself(broken: Path) -> None:
    broken.write_text("import no_such_library")

    blame_libraries(failure_of("no_such_consumer"))


def test_who_has_fedmsgs_configuration_and_no_consumer_reads_that_fedmsg_is_missing(
    broken: Path, tmp_path: Path
) -> None:
    broken.write_text("import no_such_library")
    config = Config(hub=HubSection(entry_points=False))
    (tmp_path / "fedmsg.d").mkdir()

    with pytest.raises(MissingLibraryError):
        Roster(config, FedmsgConfigFiles(tmp_path / "fedmsg.d")).build(lambda: None)
    Roster(config).build(lambda: None)
