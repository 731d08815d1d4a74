# SPDX-License-Identifier: LGPL-2.1-or-later
"""A couple of hundred rules that a message is compared against, in pure Python: what makes Badges and Notifications
slow.

A rule of Fedora Badges reads "somebody who has commented on an update, and ...", one of Fedora Notifications "tell me
of commits to my packages, and ...". Ours are made up in the same manner: a category of messages, and conditions on
their fields and texts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..load.messages import KINDS, Generator

#: "A couple hundred different rules."
RULES = 200

#: Conditions of a rule, unless the settings say otherwise.
DEPTH = 12

_SAMPLE = 40
_TRIALS = 150
_ROUNDS = 2


@dataclass(frozen=True)
class Condition:
    """Holds if a field has the value; or, where no field is named, if any text of the message mentions it."""

    field: str
    value: str

    def holds(self, fields: dict[str, str]) -> bool:
        """Whether it holds for a message with these fields."""
        if self.field:
            return fields.get(self.field) == self.value
        return any(self.value in text for text in fields.values())


@dataclass(frozen=True)
class Rule:
    """Matches messages of its category for which at least so many of its conditions hold.

    Attributes:
        name: What a match is called.
        category: First word of the topic after the prefix.
        needed: How many conditions have to hold.
        conditions: All of them.
    """

    name: str
    category: str
    needed: int
    conditions: tuple[Condition, ...]

    def matches(self, category: str, fields: dict[str, str]) -> bool:
        """Whether the message matches; looks at every condition, so that every message is about as much work."""
        held = 0
        for condition in self.conditions:
            held += condition.holds(fields)
        return category == self.category and held >= self.needed


class RuleBook:
    """Rules to compare messages against; the same seed makes the same ones."""

    def __init__(self, rules: int = RULES, depth: int = DEPTH, *, seed: int = 1) -> None:
        """Make up so many rules of so many conditions each."""
        rng = random.Random(seed)
        generator = Generator(seed)
        categories = sorted({kind.topic.partition(".")[0] for kind in KINDS})
        #: Words and values that occur, so that now and then a condition holds.
        said = [_fields(generator.next_body(0.0)) for _ in range(_SAMPLE)]
        self.rules = [
            Rule(
                f"rule-{number}",
                categories[number % len(categories)],
                max(round(depth * rng.uniform(0.15, 0.4)), 1),
                tuple(_condition(rng, said) for _ in range(depth)),
            )
            for number in range(rules)
        ]

    def matching(self, category: str, content: Any) -> list[Rule]:
        """The rules that a message of this category and content matches."""
        fields = _fields(content)
        return [rule for rule in self.rules if rule.matches(category, fields)]


def depth_for(seconds: float) -> int:
    """How deep rules have to be so that a message takes about so many seconds of this machine's CPU."""
    trial = 10  # deep enough that reading the message weighs as little as it will
    book, generator = RuleBook(depth=trial), Generator(seed=2)
    bodies = [generator.next_body(0.0) for _ in range(_TRIALS)]
    took = min(_cpu_seconds(book, bodies) for _ in range(_ROUNDS)) / len(bodies)
    return max(round(trial * seconds / took), 1)


def category_of(topic: str) -> str:
    """First word of a topic after its prefix: `git`, `bodhi`, ..."""
    words = topic.split(".", 4)
    return words[3] if len(words) > 3 else ""


def _cpu_seconds(book: RuleBook, bodies: list[Any]) -> float:
    start = time.thread_time()
    for body in bodies:
        book.matching("git", body)
    return time.thread_time() - start


def _condition(rng: random.Random, said: list[dict[str, str]]) -> Condition:
    field, value = rng.choice(list(rng.choice(said).items()))
    if rng.random() < 0.5:
        return Condition(field, value)
    return Condition("", (value.split() or ["?"])[0])


def _fields(content: Any) -> dict[str, str]:
    """Every value in a message as text, by its dotted name."""
    return {name: str(value).lower() for name, value in _walk("", content)}


def _walk(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{name}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(f"{name}.{index}", item)
    else:
        yield name, value
