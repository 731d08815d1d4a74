# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's own consumer, as its command starts it: CONFIG CALLBACK."""

from __future__ import annotations

import sys

from fedora_messaging.cli import cli


def main() -> None:
    """Run `fedora-messaging consume` until killed."""
    _, config, callback = sys.argv
    cli(["--conf", config, "consume", "--callback", callback])


if __name__ == "__main__":
    main()
