# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg-hub itself, as its console script starts it: CONFIG CONSUMER..."""

from __future__ import annotations

import sys

from fedmsg.commands.hub import hub


def main() -> None:
    """Run fedmsg-hub until killed."""
    _, config, *consumers = sys.argv
    sys.argv = ["fedmsg-hub", "--config-filename", config, "--with-consumers", ",".join(consumers)]
    hub()


if __name__ == "__main__":
    main()
