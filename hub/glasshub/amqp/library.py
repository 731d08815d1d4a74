# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether pika is there, and what to install if not: a hub on another bus needs none.

docs/libraries.md tells which versions work.
"""

from __future__ import annotations

import importlib

from ..errors import MissingLibraryError


def require_pika() -> None:
    """See that pika can be imported.

    Raises:
        MissingLibraryError: It cannot.
    """
    try:
        importlib.import_module("pika")
    except ImportError as error:
        raise MissingLibraryError(
            f"fedora-messaging's bus needs pika: {error}: pip install 'glasshub[fedora-messaging]' "
            f"(on Fedora, EPEL and Debian python3-pika)"
        ) from None
