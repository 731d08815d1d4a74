# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a spike is going to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..load.schedule import CONSTANT, RAMP, REPLAY, Schedule


@dataclass(frozen=True)
class Messages:
    """Recorded messages.

    Attributes:
        path: The recording.
        count: How many it holds.
        skips_damaged: Whether lines that are no messages are left out.
    """

    path: Path
    count: int
    skips_damaged: bool = False


@dataclass(frozen=True)
class Target:
    """A hub that runs already.

    Attributes:
        hub: Its name.
        segment: Its segment.
        endpoint: Where it takes messages from.
    """

    hub: str
    segment: Path
    endpoint: str


@dataclass(frozen=True)
class Plan:
    """One spike.

    Attributes:
        schedule: The load.
        output: Directory that keeps what it leaves.
        messages: Where messages are taken from; None makes them up.
        speed: How many times as fast as recorded a replay is; 0 for as fast as it goes.
        patience: Seconds after the load that the consumers are given to catch up.
        target: The hub; None starts private ones.
    """

    schedule: Schedule
    output: Path
    messages: Messages | None = None
    speed: float = 1.0
    patience: float = 120.0
    target: Target | None = None

    command: ClassVar[str] = "spike"

    @property
    def kind(self) -> str:
        """See `load.live.Plan`."""
        return self.schedule.kind

    @property
    def load(self) -> str:
        """See `load.live.Plan`."""
        if self.kind == REPLAY and self.messages is not None:
            return f"{self.messages.count:,} recorded messages {self._pace}"
        return f"{'up to ' if self.kind == RAMP else ''}{self.schedule.rate:g}/s"

    @property
    def _pace(self) -> str:
        if not self.speed:
            return "as fast as it goes"
        return "at their own speed" if self.speed == 1 else f"{self.speed:g} times as fast"

    @property
    def quietly(self) -> str:
        """See `load.live.Plan`."""
        rate = self.schedule.quiet_rate
        if not rate:
            return "no messages"
        return f"{rate * 60:g} messages a minute" if rate < 1 else f"{rate:g} messages a second"

    @property
    def noun(self) -> str:
        """What to call the load."""
        return "load" if self.kind == CONSTANT else self.kind

    @property
    def seconds(self) -> float:
        """See `load.live.Plan`."""
        return self.schedule.seconds

    @property
    def title(self) -> str:
        """What it is, in a line."""
        if self.kind == REPLAY:
            return f"a replay of {self.load}"
        article = "a constant load of" if self.kind == CONSTANT else f"a {self.kind} of"
        return f"{article} {self.load.replace('/s', ' messages a second')} for {self.seconds:g} s"

    @property
    def bus_arguments(self) -> list[str]:
        """What the publisher is told."""
        schedule = self.schedule
        arguments = [f"--kind={schedule.kind}", f"--rate={schedule.rate}", f"--seconds={schedule.seconds}"]
        arguments += [f"--quiet={schedule.quiet}", f"--quiet-rate={schedule.quiet_rate}", f"--speed={self.speed}"]
        if self.messages is not None:
            arguments.append(f"--messages={self.messages.path.absolute()}")
            arguments += ["--skip-damaged"] if self.messages.skips_damaged else []
        return arguments
