# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether a hub lives and whether it is ready, for what restarts it or sends it work: Kubernetes, a load balancer.

The answers have the form of fedora-messaging's own pages, `/live` and `/ready`, so that what reads those reads these.
What fedora-messaging says in the text alone, the status says here too: 503 where the answer is no.

A hub that is not alive is to be restarted. One that is not ready is to be left alone: it drains, or waits for its bus,
and a restart would mend neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from glasshub_stats import STALE_AFTER, Snapshot, StatsError

from .webserver import Answer

_JSON = "application/json"


def live_page(read: Callable[[], Snapshot]) -> Answer:
    """`/live`: whether main thread and enqueuer go round."""
    try:
        reason = _why_not_live(read())
    except StatsError as error:
        reason = str(error)
    return _answer({"status": "OK"} if not reason else {"status": "failed", "reason": reason}, not reason)


def ready_page(read: Callable[[], Snapshot]) -> Answer:
    """`/ready`: whether messages come, and what has become of them."""
    try:
        snapshot = read()
    except StatsError as error:
        return _answer({"consuming": False, "reason": str(error)}, False)
    reason = _why_not_ready(snapshot)
    text: dict[str, Any] = {"consuming": not reason, "consumed": _consumed(snapshot)}
    return _answer({**text, "reason": reason} if reason else text, not reason)


def _answer(text: Mapping[str, Any], is_well: bool) -> Answer:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, _JSON, json.dumps(text) + "\n")


def _why_not_live(snapshot: Snapshot) -> str:
    status = snapshot.status()
    if status == "stuck":
        hub = snapshot.hub
        who, age = max(("main thread", hub.heartbeat_age), ("enqueuer", hub.enqueuer_age), key=lambda one: one[1])
        return f"the {who} has shown no heartbeat for {age:.0f} s, and {STALE_AFTER:g} s are the limit"
    return "" if snapshot.is_up() else f"the hub is {status}"


def _why_not_ready(snapshot: Snapshot) -> str:
    hub = snapshot.hub
    reason = _why_not_live(snapshot)
    if reason:
        return reason
    if hub.phase != "running":
        return f"the hub is {hub.phase}"
    if hub.endpoints and not hub.connected:
        since = f" for {hub.lost_age:.0f} s" if hub.lost_ns else ""
        return f"the hub has been connected to none of its {hub.endpoints} endpoints{since}"
    if hub.broker_consuming < hub.broker_queues:
        return f"the broker brings the messages of {hub.broker_consuming} of {hub.broker_queues} queues"
    return ""


def _consumed(snapshot: Snapshot) -> dict[str, int]:
    """What fedora-messaging counts, over all consumers: a message that two of them get is received once."""
    consumers = snapshot.consumers
    return {
        "received": snapshot.hub.received,
        "processed": sum(consumer.processed for consumer in consumers),
        "dropped": sum(consumer.discarded for consumer in consumers),
        "rejected": sum(consumer.invalid for consumer in consumers),
        "failed": sum(consumer.failed for consumer in consumers),
    }
