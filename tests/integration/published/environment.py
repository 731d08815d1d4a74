# SPDX-License-Identifier: LGPL-2.1-or-later
"""An environment with consumers that others published, beside the one that runs the tests.

It sees what the tests' own has installed: fedmsg and Moksha above all.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from ..venvs import cached_venv, pip

#: The last releases that were written for fedmsg, with what they depend on.
REQUIREMENTS = (
    "datanommer.consumer==0.8.1",
    "datanommer.models==0.9.1",
    "fedmsg_genacls==0.6",
    "SQLAlchemy<2",  # models of that time pass lists to select()
    "setuptools>=80.9,<81",  # of those with pkg_resources, the one that finds "datanommer.models" by that name
)

#: What would ask for more than their consumers import: a web framework, PostgreSQL, Kerberos, Qpid.
WITHOUT_DEPENDENCIES = (
    "anitya==0.12.1",
    "pytoml",
    "straight.plugin",
    "message-tagging-service==0.3",
    "PyYAML",
    "koji",
    "defusedxml",
)


def published_python() -> Path:
    """The interpreter of the environment, which is made first where it is not there yet."""
    made_of = (REQUIREMENTS, WITHOUT_DEPENDENCIES, sys.version, _packages_of_the_tests())
    return cached_venv("published", python=Path(sys.executable), made_of=made_of, fill=_fill)


def _fill(python: Path) -> None:
    library = next(python.parents[1].glob("lib/python*/site-packages"))
    (library / "tests.pth").write_text("\n".join(_packages_of_the_tests()), encoding="utf-8")
    pip(python, "install", *REQUIREMENTS)
    pip(python, "install", "--no-deps", *WITHOUT_DEPENDENCIES)


def _packages_of_the_tests() -> list[str]:
    """Where fedmsg and Moksha are: the environment sees them, instead of having them twice."""
    paths = sysconfig.get_paths()
    return sorted({paths["purelib"], paths["platlib"]})
