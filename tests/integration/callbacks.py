# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers as they are written for fedora-messaging, for hubs in processes of their own; they know nothing of us.

They write down what they have got in a file that `consumer_config` names, a JSON document a line.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from fedora_messaging import api, config, exceptions


def write_down(message: Any, **more: Any) -> None:
    """Write down all that a callback looks at."""
    told = {
        "kind": type(message).__name__,
        "topic": message.topic,
        "body": message.body,
        "id": message.id,
        "headers": message._headers,
        "severity": message.severity,
        "queue": message.queue,
        **more,
    }
    with open(config.conf["consumer_config"]["file"], "a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def function(message: Any) -> None:
    """Write it down."""
    write_down(message)


async def coroutine(message: Any) -> None:
    """Write it down, later."""
    await asyncio.sleep(0)
    write_down(message)


class Moody:
    """Raises what a body says, once for each message, and writes down those for which it has raised nothing."""

    def __init__(self) -> None:
        """Count from 0."""
        self._attempts: Counter[str] = Counter()

    def __call__(self, message: Any) -> None:
        """Raise, or write it down."""
        self._attempts[message.id] += 1
        mood, gate = message.body.get("mood"), message.body.get("gate")
        if gate is not None:
            Path(gate).read_bytes()  # a FIFO: until somebody writes into it
        if mood == "nack" and self._attempts[message.id] == 1:
            raise exceptions.Nack
        if mood == "drop":
            raise exceptions.Drop
        if mood == "fail":
            raise RuntimeError("no such rule")
        if mood == "halt":
            raise exceptions.HaltConsumer(
                exit_code=message.body.get("exit_code", 7), reason="enough", requeue=message.body["requeue"]
            )
        write_down(message, attempts=self._attempts[message.id])


def republish(message: Any) -> None:
    """Publish another message with fedora-messaging, and write down what has come of it."""
    api.publish(api.Message(topic=f"answer.{message.topic}", body={"to": message.id}))
    write_down(message)


async def republish_later(message: Any) -> None:
    """Do so from a coroutine."""
    answer = api.Message(topic=f"answer.{message.topic}", body={"to": message.id})
    await asyncio.get_running_loop().run_in_executor(None, api.publish, answer)
    write_down(message)


class Greeting:
    """Publishes when it is built."""

    def __init__(self) -> None:
        """Greet."""
        api.publish(api.Message(topic="answer.greeting", body={"hello": "world"}))

    def __call__(self, message: Any) -> None:
        """Answer, and write it down."""
        republish(message)
