# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private hub with an operator's own consumers, a process of its own: `python -m glasshub.spike.hub`.

The first line of its standard input is what it runs, see `private.Brief`; it says on its standard output when it runs
and what its consumers subscribe to, and stops when its input ends: when the spike does, however that comes about.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
import threading
from typing import Any, TextIO

from .. import daemon
from ..compat.log import set_up_log
from ..errors import HubError
from .private import Brief


def _own_pipes() -> tuple[TextIO, TextIO]:
    """Standard input and output, which no consumer shall read from or print to."""
    orders, says = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, says


def _say(says: TextIO, **said: Any) -> None:
    says.write(json.dumps(said) + "\n")
    says.flush()


def main() -> int:
    """Run the hub; the exit code."""
    orders, says = _own_pipes()
    # It comes from whoever started this process, through a pipe that nobody else has.
    brief: Brief = pickle.loads(base64.b64decode(orders.readline()))
    sys.path.insert(0, os.getcwd())
    try:
        set_up_log(brief.config, brief.fedmsg)
        hub = daemon.made(brief.config, brief.fedmsg, consumers=brief.consumers, producers=brief.producers)

        def await_end() -> None:
            orders.read()
            hub.request_stop()

        threading.Thread(target=await_end, name="awaits-end", daemon=True).start()
        daemon.run(hub, lambda: _say(says, event="ready", topics=hub.topics))
    except HubError as error:
        print(error, file=sys.stderr)
        return daemon.leave(1)
    return daemon.leave(0)


if __name__ == "__main__":
    sys.exit(main())
