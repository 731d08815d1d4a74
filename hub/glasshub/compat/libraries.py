# SPDX-License-Identifier: LGPL-2.1-or-later
"""The libraries that consumers of others stand on, and what to install where one of them does not work.

Nothing here is imported before somebody wants such a consumer: a hub without any needs none of these libraries.
docs/libraries.md tells which versions work.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from ..errors import MissingLibraryError

#: What a site of fedmsg is made of: its consumers, Moksha's hub and its API, and Twisted's reactor.
_NEEDED = ("fedmsg.consumers", "moksha.hub.hub", "moksha.hub.api", "moksha.hub.reactor")


class Library(NamedTuple):
    """What to install: pip's requirement, the package of Fedora and EPEL, and what there is to know about it."""

    requirement: str
    fedora: str
    remark: str = ""

    def __str__(self) -> str:
        remark = f": {self.remark}" if self.remark else ""
        return f"pip install '{self.requirement}' (on Fedora and EPEL {self.fedora}){remark}"


#: Modules that are not called as what brings them.
_LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "OpenSSL": Library("pyOpenSSL", "python3-pyOpenSSL"),
        "dateutil": Library("python-dateutil", "python3-dateutil"),
        "fedora_messaging": Library("fedora-messaging", "python3-fedora-messaging"),
        "fedmsg": Library("fedmsg[consumers,crypto_ng]>=1.1", "python3-fedmsg"),
        "moksha": Library("moksha.hub", "python3-moksha-hub"),
        "moksha.common": Library("moksha.common", "python3-moksha-common"),
        "pkg_resources": Library(
            "setuptools<81",
            "python3-setuptools",
            "Moksha imports pkg_resources, which setuptools has no more from version 81 on",
        ),
        "twisted": Library("Twisted", "python3-twisted"),
        "txzmq": Library("txZMQ", "python3-txzmq"),
        "zmq": Library("pyzmq", "python3-zmq"),
        "zope": Library("zope.interface", "python3-zope-interface"),
    }
)


def require_moksha() -> None:
    """See that what fedmsg's consumers import can be imported.

    Raises:
        MissingLibraryError: Something is missing, or does not go with the rest.
    """
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except Exception as error:  # what does not fit together raises whatever it likes
            _explain(error)


def blame_libraries(error: BaseException) -> None:
    """Tell an import that failed because of fedmsg's libraries from one that failed because of its own module.

    Args:
        error: What importing a consumer or a producer raised.

    Raises:
        MissingLibraryError: It was in fedmsg or Moksha, which nobody can import here.
    """
    if {"fedmsg", "moksha"} & {_top(module) for module in (_missing(error), *_modules_of(error))}:
        require_moksha()


def remedy(error: ImportError) -> str:
    """What to install where fedora-messaging is missing, to stand behind the error; else nothing."""
    return f": {_library('fedora_messaging')}" if _top(_missing(error)) == "fedora_messaging" else ""


def _explain(error: Exception) -> NoReturn:
    """Say what to install."""
    said = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        what = f"{said}: {_library(_missing(error))}"
    else:
        module = _missing(error) or _modules_of(error)[-1]
        library = _library(module)
        what = (
            f"{type(error).__name__} in {module}: {said}: this version does not go with the others: "
            f"pip install --upgrade '{library.requirement}' (on Fedora and EPEL {library.fedora})"
        )
    raise MissingLibraryError(f"consumers of fedmsg cannot be loaded: {what}") from error


def _missing(error: BaseException) -> str:
    """The module that is not there, or has not what was to be imported from it; an empty string if it is neither."""
    return error.name or "" if isinstance(error, ImportError) else ""


def _library(module: str) -> Library:
    """What brings a module; most are called as the module is."""
    top = _top(module)
    named = ".".join(module.split(".")[:2])
    return _LIBRARIES.get(named) or _LIBRARIES.get(top) or Library(top, f"python3-{top}")


def _top(module: str) -> str:
    return module.partition(".")[0]


def _modules_of(error: BaseException) -> list[str]:
    """The modules whose code was at work, the one that raised last."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
