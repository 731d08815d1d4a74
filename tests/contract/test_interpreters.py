# SPDX-License-Identifier: LGPL-2.1-or-later
"""The contract under every Python of this machine that collectd might embed.

The other modules of this package are plain unittest, so that nothing but the interpreter and six is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import six

from ..interpreters import interpreters, numbers

ROOT = Path(__file__).parents[2]

_MODULES = sorted(
    f"tests.contract.{path.stem}" for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)
)

_INTERPRETERS = interpreters()


@pytest.mark.slow
@pytest.mark.parametrize("version", _INTERPRETERS)
def test_the_contract_holds_with_nothing_but_six(version: str, tmp_path: Path) -> None:
    shutil.copy(six.__file__, tmp_path)
    path = os.pathsep.join(map(str, [tmp_path, ROOT / "hub", ROOT / "collectd_plugin", ROOT]))
    environment = {"PYTHONPATH": path, "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONNOUSERSITE": "1"}

    ran = subprocess.run(
        [str(_INTERPRETERS[version]), "-B", "-S", "-m", "unittest", *_MODULES],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=110,
        check=False,
    )

    output = ran.stdout.decode("utf-8", "replace")
    assert ran.returncode == 0, output[-6000:]
    count = re.search(r"^Ran (\d+) tests", output, re.MULTILINE)
    assert count is not None, output
    assert int(count[1]) > 100, output


def test_there_is_more_than_one_interpreter() -> None:
    if len(_INTERPRETERS) < 2:
        pytest.skip(f"this machine has no Python but {sys.version.split()[0]}: the contract is tested under that alone")

    assert len({numbers(version)[:2] for version in _INTERPRETERS}) >= 2
