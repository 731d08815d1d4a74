# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hub's side of worker processes: `wire.py` is what both sides say, `process.py` one process from start to end,
`desk.py` what waits for a consumer and what its process has been given, `keeper.py` keeps a process of a name running,
`consumer.py` is what the rest of the hub takes for the consumer.

The other side is `glasshub.workerprocess`.
"""

from .consumer import RemoteConsumer
from .desk import Desk
from .keeper import Keeper
from .process import Brief, Built, WorkerProcess
from .wire import Wire

__all__ = ["Brief", "Built", "Desk", "Keeper", "RemoteConsumer", "WorkerProcess", "Wire"]
