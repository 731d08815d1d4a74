# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit: what became of every message, by the word of nobody.

How it is known from outside what a hub has accepted, even one that was killed:

* **The bus** knows at which number a hub subscribed, and at which it was gone: a *window*. What was sent when nobody
  was subscribed was accepted by nobody. What was sent at the end of a window may have got no further than the buffers
  of the system.
* **The stream** has an order. One bus, one connection, one enqueuer: if message 812 of a window was accepted, so was
  811. So what a life of a hub has accepted is everything from the first message of the window to the last one that
  anybody has ever seen of it: a consumer, by its diary, or whoever looked into the spool before the next life began.
* **The counters** of a hub that was killed stand in its segment still. It counts what it has accepted; if there are
  fewer messages between the first one and the last one that was seen, some were accepted and vanished.

Then the books are to balance, for each consumer, with a diary that it keeps on its own:

    accepted = handled + raised + parked + given up + dropped + left

Given up is what killed every process that handled it, and counts as failed. `dropped` and `left` have to be counted by
the hub, and are believed as far as messages are missing: what it counted and what is missing have to be the same
number. Durable means that what is left in one life is no excuse in the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from .bus import BOUND, SUBSCRIBED, UNSUBSCRIBED, Event
from .consumers import HANDLED, MET, RAISED
from .messages import checksum

#: What the enqueuer takes in at once, and may not have counted yet when it is killed.
_LARGEST_BATCH = 1000


@dataclass(frozen=True)
class Window:
    """A time in which somebody was subscribed, in numbers of messages.

    Attributes:
        since: No earlier message was sent in it: it is the end of the window before.
        first: This one and all that follow were.
        end: This one and all that follow were not.
    """

    since: int
    first: int
    end: int


@dataclass(frozen=True)
class Counted:
    """What a hub has counted for one consumer in one life, in messages; `left` is what it had not finished."""

    enqueued: int = 0
    restored: int = 0
    processed: int = 0
    failed: int = 0
    retried: int = 0
    invalid: int = 0
    dropped: int = 0
    parked: int = 0
    left: int = 0

    @property
    def accepted(self) -> int:
        """What it has accepted in this life."""
        return self.enqueued - self.restored


@dataclass(frozen=True)
class Life:
    """One life of a hub.

    Attributes:
        windows: When it was subscribed.
        counted: What it counted, for each consumer.
        stored: Numbers of the messages that were in its spool when it was over.
        is_whole: Whether it has received everything that was sent to it: the bus was silent before it ended.
        was_killed: Whether it, or the consumers' process, was ended with a message at hand.
        deaths: How many processes died in it, its own included.
    """

    windows: Sequence[Window]
    counted: Mapping[str, Counted]
    stored: frozenset[int] = frozenset()
    is_whole: bool = True
    was_killed: bool = False
    deaths: int = 0


@dataclass(frozen=True)
class Diary:
    """What a consumer wrote down, in that order.

    Attributes:
        handled, raised, met: Numbers; see `faults.consumers`.
        garbled: Lines about a body that is not the one that was published.
    """

    handled: Sequence[int] = ()
    raised: Sequence[int] = ()
    met: Sequence[int] = ()
    garbled: Sequence[str] = ()


@dataclass(frozen=True)
class Terms:
    """What was promised.

    Attributes:
        is_durable: What one life has accepted and not finished is finished in another.
        repeats: So many messages at the most come again for each death, to each consumer.
        in_order: Each consumer gets its messages in the order in which they were published.
        unreadable: So many messages were published that each consumer refuses.
        damage: So many messages at the most may have vanished with a file that somebody damaged, and so many may come
            again because it had said that they were finished.
    """

    is_durable: bool = False
    repeats: int = 0
    in_order: bool = True
    unreadable: int = 0
    damage: int = 0


@dataclass(frozen=True)
class Books:
    """All that is known when everything is over."""

    lives: Sequence[Life]
    diaries: Mapping[str, Diary]
    terms: Terms = Terms()
    parked: Mapping[str, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """What became of the messages of one consumer: how many. `vanished` is what is in none of the others."""

    consumer: str
    accepted: int
    handled: int
    raised: int
    parked: int
    given_up: int
    dropped: int
    left: int
    vanished: int
    repeated: int

    def __str__(self) -> str:
        ends = ("handled", "raised", "parked", "given_up", "dropped", "left", "vanished")
        counts = [(name.replace("_", " "), getattr(self, name)) for name in ends]
        told = [f"{name} {count}" for name, count in counts if count or name == "handled"]
        return f"{self.consumer}: accepted {self.accepted} = {' + '.join(told)}; repeated {self.repeated}"


def audit(books: Books) -> tuple[list[Account], list[str]]:
    """The account of each consumer, and what is wrong: nothing if the promises were kept."""
    seen = {number for diary in books.diaries.values() for number in (*diary.handled, *diary.raised, *diary.met)}
    seen.update(number for life in books.lives for number in life.stored)
    accepted = [_accepted(life, seen, books.terms) for life in books.lives]
    accounts, complaints = [], []
    if not books.diaries or not any(accepted):
        complaints.append("no message was accepted: nothing was tried")
    for name, diary in books.diaries.items():
        consumer = _Consumer(name, diary, books, accepted)
        accounts.append(consumer.account)
        complaints += [f"{name}: {text}" for text in consumer.complaints()]
    return accounts, complaints


@dataclass(frozen=True)
class Shared:
    """What is known of a consumer that runs in several hubs, on one queue of a broker, when everything is over.

    Attributes:
        name: Its name.
        diary: What it wrote down, in whichever hub.
        parked: Numbers of the messages that it, or the broker, has parked; each time.
        left: How many messages are still in its queue.
        may_repeat: How many may have come again.
    """

    name: str
    diary: Diary
    parked: Sequence[int] = ()
    left: int = 0
    may_repeat: int = 0


def audit_shared(
    confirmed: Set[int], doubtful: Set[int], consumers: Sequence[Shared]
) -> tuple[list[Account], list[str]]:
    """The account of each consumer of a broker's queues, and what is wrong.

    Here the publisher knows what was accepted: what the broker has confirmed to it. In doubt is what was on its way
    when the broker ended: it may have been handled, and need not.
    """
    accounts, complaints = [], [] if confirmed else ["no message was accepted: nothing was tried"]
    for consumer in consumers:
        diary, parked = consumer.diary, set(consumer.parked)
        handled, raised = set(diary.handled), set(diary.raised)
        known = handled | raised | parked
        lost = confirmed - handled - parked
        account = Account(
            consumer.name,
            accepted=len(confirmed | (known & doubtful)),
            handled=len(handled),
            raised=len(raised - handled - parked),
            parked=len(parked - handled),
            given_up=0,
            dropped=0,
            left=consumer.left,
            vanished=len(lost),
            repeated=len(diary.handled) + len(diary.raised) - len(handled | raised),
        )
        accounts.append(account)
        complaints += [f"{consumer.name}: {text}" for text in _about_shared(consumer, account, lost)]
        stray = known - confirmed - doubtful
        if stray:
            complaints.append(f"{consumer.name}: was given what nobody published: {_some(sorted(stray))}")
    return accounts, complaints


def _about_shared(consumer: Shared, account: Account, lost: Set[int]) -> Iterator[str]:
    if lost:
        yield f"{len(lost)} messages are LOST: {_some(sorted(lost))}"
    if consumer.left:
        yield f"{consumer.left} messages are still in the queue, or are there again"
    if account.repeated > consumer.may_repeat:
        yield f"{account.repeated} messages came again, at most {consumer.may_repeat} may"
    if consumer.diary.garbled:
        yield f"was given bodies that nobody published: {_some(consumer.diary.garbled)}"


def windows_of(events: Iterable[Event], end: int) -> list[Window]:
    """The windows in what happened to a bus that has sent all numbers before `end`."""
    found: list[Window] = []
    since, first = 0, -1
    for what, number in [*events, Event(UNSUBSCRIBED, end)]:
        if what == SUBSCRIBED and first < 0:
            first = number
        elif what in (UNSUBSCRIBED, BOUND) and first >= 0:  # one that is bound has nobody who is subscribed yet
            found.append(Window(since, first, number))
            since, first = number, -1
    return found


def read_diary(path: Path) -> Diary:
    """What a consumer has written down; nothing if it has never been built."""
    entries: dict[str, list[int]] = {HANDLED: [], RAISED: [], MET: []}
    garbled = []
    checksums: dict[int, str] = {}
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        what, number, found = line.split()
        entries[what].append(int(number))
        if int(number) not in checksums:
            checksums[int(number)] = str(checksum(int(number)))
        if found != checksums[int(number)]:
            garbled.append(line)
    return Diary(entries[HANDLED], entries[RAISED], entries[MET], garbled)


def _accepted(life: Life, seen: set[int], terms: Terms) -> set[int]:
    """Numbers of the messages that were accepted in a life."""
    accepted: set[int] = set()
    for window in life.windows:
        inside = [number for number in range(window.since, window.end) if number in seen]
        first = min([window.first, *inside])
        end = window.end if life.is_whole and window is life.windows[-1] else max(inside, default=first - 1) + 1
        accepted.update(range(first, end))
    if not terms.is_durable and len(life.windows) == 1:
        # What only waited in memory was seen by nobody: that it came is known from the counters alone.
        told = max((counted.accepted for counted in life.counted.values()), default=0)
        accepted.update(range(first, min(first + told, window.end)))
    return accepted


class _Consumer:
    """One consumer's part of the books."""

    def __init__(self, name: str, diary: Diary, books: Books, accepted: Sequence[set[int]]) -> None:
        self._diary = diary
        self._books = books
        self._terms = books.terms
        self._accepted = accepted
        self._counted = [life.counted.get(name, Counted()) for life in books.lives]
        self._deaths = sum(life.deaths for life in books.lives)
        #: One message for each death may be in the diary, and not in the counters.
        self._slack = max(self._deaths, sum(life.was_killed for life in books.lives))
        everything = set().union(*accepted)
        known = {*diary.handled, *diary.raised}
        self._parked = books.parked.get(name, frozenset())
        parked = self._parked - set(diary.handled)
        self._stray = known - everything
        self._missing = everything - known - parked
        # What was raised on may be tried again, which is counted; that as much was raised is looked at below.
        self._repeated = len(diary.handled) + len(diary.raised) - len(known) - self._sum("retried")
        self._dropped = sum(counted.dropped for counted in self._counted)
        lefts = [counted.left for counted in self._counted]
        self._left = lefts[-1] if self._terms.is_durable else sum(lefts)
        convicted = self._sum("failed") + self._sum("retried") - len(diary.raised)
        self._given_up = max(min(len(self._missing & {*diary.met}), convicted), 0)
        self._vanished = len(self._missing) - self._given_up - self._dropped - self._left
        self.account = Account(
            name,
            accepted=len(everything),
            handled=len(set(diary.handled)),
            raised=len(set(diary.raised) - set(diary.handled) - parked),
            parked=len(parked),
            given_up=self._given_up,
            dropped=self._dropped,
            left=self._left,
            vanished=self._vanished,
            repeated=self._repeated,
        )

    def complaints(self) -> Iterator[str]:
        """What is wrong."""
        yield from self._about_the_diary()
        yield from self._about_what_is_missing()
        yield from self._about_the_counters()

    def _about_the_diary(self) -> Iterator[str]:
        if self._diary.garbled:
            yield f"was given bodies that nobody published: {_some(self._diary.garbled)}"
        if self._stray:
            yield f"was given what the hub cannot have received: {_some(sorted(self._stray))}"
        bound = self._terms.repeats * self._deaths + self._terms.damage
        if self._repeated > bound:
            again = Counter([*self._diary.handled, *self._diary.raised])
            numbers = [number for number, count in again.items() if count > 1]
            yield f"{self._repeated} messages came again, at most {bound} may: {_some(numbers)}"
        first_times = list(dict.fromkeys(self._diary.handled))
        if self._terms.in_order and first_times != sorted(first_times):
            wrong = next(b for a, b in zip(first_times, first_times[1:]) if b < a)
            yield f"message {wrong} came after later ones"

    def _about_what_is_missing(self) -> Iterator[str]:
        """What is neither in the diary nor parked has to be in the counters, and the other way round."""
        if self._vanished > self._terms.damage:
            yield (
                f"{self._vanished} messages are LOST: {len(self._missing)} are missing, the hub admits "
                f"{self._given_up} given up, {self._dropped} dropped and {self._left} left: "
                f"{_some(sorted(self._missing))}"
            )
        elif -self._vanished > self._slack:
            yield (
                f"the hub says that {self._dropped + self._left} messages were dropped or left, "
                f"but only {len(self._missing) - self._given_up} are missing"
            )

    def _about_the_counters(self) -> Iterator[str]:
        for number, (life, accepted) in enumerate(zip(self._books.lives, self._accepted), 1):
            yield from self._about_what_was_accepted(f"life {number}", life, accepted, self._counted[number - 1])
        handled, processed = len(self._diary.handled), self._sum("processed")
        if not processed <= handled <= processed + self._slack:
            yield f"handled {handled} messages, and the hub counted {processed}"
        raised, failed = len(self._diary.raised), self._sum("failed") + self._sum("retried")
        if not raised - self._slack <= failed + self._sum("parked") <= raised + len(self._diary.met):
            yield f"raised {raised} times, and the hub counted {failed} failed"
        if abs(self._sum("parked") - len(self._parked)) > self._slack + self._terms.damage:
            yield f"{len(self._parked)} messages are parked in the spool, and the hub counted {self._sum('parked')}"
        if self._sum("invalid") != self._terms.unreadable:
            yield f"{self._terms.unreadable} messages cannot be read, and the hub counted {self._sum('invalid')}"

    def _about_what_was_accepted(
        self, life_name: str, life: Life, accepted: set[int], counted: Counted
    ) -> Iterator[str]:
        readable = counted.accepted - (self._terms.unreadable if life.is_whole else 0)
        lag = _LARGEST_BATCH if life.was_killed else 0
        if readable > len(accepted):
            yield f"{life_name}: the hub counted {readable} messages as accepted, but {len(accepted)} can be found"
        elif readable < len(accepted) - lag:
            yield f"{life_name}: {len(accepted)} messages were accepted, and the hub counted {readable}"

    def _sum(self, counter: str) -> int:
        return sum(int(getattr(counted, counter)) for counted in self._counted)


def _some(things: Sequence[object]) -> str:
    """A few of them."""
    return ", ".join(map(str, things[:5])) + (" ..." if len(things) > 5 else "")
