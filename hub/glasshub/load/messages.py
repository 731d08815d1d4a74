# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages like those of Fedora's bus: their topics, shapes and sizes, with people and texts that are made up.

What a bus carries, and how much of it, is an impression of 2014: builds and commits most of all, then packages on
their way to the users, and people who edit, comment and write mails. A body has about a kilobyte, now and then ten.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "org.fedoraproject.prod."

Content = dict[str, Any]

_PEOPLE = str.split(
    "amber birch cedar dahlia elder fern ginger hazel iris juniper kale laurel maple nettle olive poppy quince rowan "
    "sorrel thyme ursin violet willow yarrow zinnia"
)
_PACKAGES = str.split(
    "abacus anvil beacon bellows candle chisel compass crucible easel fiddle gimlet hammock inkwell kettle lantern "
    "mandolin needle orrery pulley quill ratchet sextant spindle teapot umbrella vise whistle xylophone yoke zither"
)
_BRANCHES = ("master", "f20", "f19", "el6", "epel7")
_LISTS = ("devel", "infrastructure", "packaging", "users", "test")
_WORDS = str.split(
    "the package builds again after a fix of its tests and we should push it to stable before the freeze because some "
    "people wait for the new release while others report that an upgrade breaks their configuration so please look at "
    "the log first then rebuild with the patch from upstream and drop the old conditional from the spec file"
)


@dataclass(frozen=True)
class Kind:
    """One kind of message.

    Attributes:
        topic: Its topic without the prefix.
        share: How many of a hundred messages are of it, about.
        content: Makes up what stands under `msg`.
    """

    topic: str
    share: int
    content: Callable[[random.Random], Content]


class Generator:
    """An endless sequence of messages; the same seed gives the same ones."""

    def __init__(self, seed: int = 2014, *, prefixes: Sequence[str] = ("",)) -> None:
        """Begin.

        Args:
            seed: See above.
            prefixes: How the topics begin. Where none of ours does, topics are made up as well.
        """
        self._random = random.Random(seed)
        self._choices = list(dict.fromkeys(choice for prefix in sorted(prefixes) for choice in _choices(prefix)))
        self._shares = [kind.share for _, kind in self._choices]
        self._count = 0

    def next(self, timestamp: float) -> tuple[str, bytes]:
        """Topic and body of the next message, published at the unix time `timestamp`."""
        body = self.next_body(timestamp)
        return body["topic"], json.dumps(body).encode("utf-8")

    def next_body(self, timestamp: float) -> Content:
        """The body alone, before it is encoded."""
        topic, kind = self._random.choices(self._choices, self._shares)[0]
        self._count += 1
        return {
            "i": self._count,
            "msg": kind.content(self._random),
            "msg_id": f"2014-{self._random.getrandbits(128):032x}",
            "timestamp": round(timestamp, 3),
            "topic": topic,
            "username": kind.topic.partition(".")[0],
        }


def _choices(prefix: str) -> list[tuple[str, Kind]]:
    """Topics that begin so, each with what such a message is like."""
    known = [(PREFIX + kind.topic, kind) for kind in KINDS if (PREFIX + kind.topic).startswith(prefix)]
    if known:
        return known
    if not prefix.endswith("."):
        return [(prefix, kind) for kind in KINDS]  # it is a whole topic, as far as anybody can tell
    is_of_a_bus = prefix.count(".") <= PREFIX.count(".")
    return [(prefix + (kind.topic if is_of_a_bus else "message"), kind) for kind in KINDS]


def _text(rng: random.Random, shortest: int, longest: int) -> str:
    """A paragraph of so many words; most are short, a few as long as it gets."""
    words = round(shortest + (longest - shortest) * rng.random() ** 4)
    return " ".join(rng.choices(_WORDS, k=words)).capitalize() + "."


def _nvr(rng: random.Random) -> str:
    return f"{rng.choice(_PACKAGES)}-{rng.randint(0, 9)}.{rng.randint(0, 30)}-{rng.randint(1, 9)}.fc20"


def _commit(rng: random.Random) -> Content:
    package, person = rng.choice(_PACKAGES), rng.choice(_PEOPLE)
    paths = [f"{package}.spec", "sources", ".gitignore"]
    paths += [f"{package}-{rng.choice(_WORDS)}-{n}.patch" for n in range(round(60 * rng.random() ** 8))]
    files = {path: {"additions": rng.randint(0, 40), "deletions": rng.randint(0, 20), "lines": 60} for path in paths}
    total = {"files": len(files), "lines": sum(file["lines"] for file in files.values())}
    message = _text(rng, 5, 160)
    return {
        "commit": {
            "branch": rng.choice(_BRANCHES),
            "email": f"{person}@example.org",
            "message": message,
            "name": person.capitalize(),
            "repo": package,
            "rev": f"{rng.getrandbits(160):040x}",
            "seen": rng.random() < 0.1,
            "stats": {"files": files, "total": total},
            "summary": message[:60],
            "username": person,
        }
    }


def _build(rng: random.Random) -> Content:
    return {
        "attribute": "state",
        "build_id": rng.randint(500_000, 600_000),
        "instance": "primary",
        "name": rng.choice(_PACKAGES),
        "new": rng.choice((0, 0, 1, 1, 3)),
        "old": 0,
        # A build that the build system started itself has no owner, which is more than some consumers think of.
        "owner": rng.choice(_PEOPLE) if rng.random() > 0.016 else None,
        "release": f"{rng.randint(1, 9)}.fc20",
        "task_id": rng.randint(6_000_000, 7_000_000),
        "version": f"{rng.randint(0, 9)}.{rng.randint(0, 30)}",
        "request": [f"git://pkgs.example.org/{rng.choice(_PACKAGES)}#{rng.getrandbits(160):040x}", "f20-candidate"],
    }


def _task(rng: random.Random) -> Content:
    children = [
        {"arch": arch, "id": rng.randint(6_000_000, 7_000_000), "method": "buildArch", "state": "FREE"}
        for arch in ("x86_64", "i686", "armv7hl", "noarch")[: rng.randint(0, 4)]
    ]
    return {
        "attribute": "state",
        "children": children,
        "id": rng.randint(6_000_000, 7_000_000),
        "method": "build",
        "new": rng.choice(("OPEN", "CLOSED", "FAILED")),
        "old": rng.choice(("FREE", "OPEN")),
        "owner": rng.choice(_PEOPLE),
        "srpm": f"{_nvr(rng)}.src.rpm",
    }


def _tag(rng: random.Random) -> Content:
    return {
        "build_id": rng.randint(500_000, 600_000),
        "name": rng.choice(_PACKAGES),
        "owner": rng.choice(_PEOPLE),
        "tag": rng.choice(("f20-updates-testing", "f20-candidate", "f20-updates")),
        "user": rng.choice(_PEOPLE),
    }


def _comment(rng: random.Random) -> Content:
    return {
        "author": rng.choice(_PEOPLE),
        "anonymous": False,
        "group": None,
        "karma": rng.choice((-1, 0, 0, 1, 1)),
        "text": _text(rng, 3, 180),
        "timestamp": 1395900000.0 + rng.randint(0, 86400),
        "update_title": _nvr(rng),
    }


def _bodhi_comment(rng: random.Random) -> Content:
    return {"comment": _comment(rng), "agent": rng.choice(_PEOPLE)}


def _update(rng: random.Random) -> Content:
    builds = [{"nvr": _nvr(rng), "package": rng.choice(_PACKAGES)} for _ in range(rng.randint(1, 5))]
    bugs = [{"bz_id": rng.randint(900_000, 1_100_000), "title": _text(rng, 4, 20)} for _ in range(rng.randint(0, 6))]
    return {
        "agent": rng.choice(_PEOPLE),
        "update": {
            "bugs": bugs,
            "builds": builds,
            "close_bugs": True,
            "comments": [_comment(rng) for _ in range(rng.randint(0, 8))],
            "critpath": rng.random() < 0.1,
            "karma": rng.randint(-2, 5),
            "notes": _text(rng, 5, 300),
            "release": {"dist_tag": "f20", "name": "F20"},
            "status": "pending",
            "submitter": rng.choice(_PEOPLE),
            "title": builds[0]["nvr"],
        },
    }


def _edit(rng: random.Random) -> Content:
    title = "_".join(rng.choices(_WORDS, k=3)).title()
    return {
        "base_rev_id": False,
        "minor_edit": rng.randint(0, 1),
        "page_url": f"https://wiki.example.org/{title}",
        "summary": f"/* {rng.choice(_WORDS)} */",
        "text": _text(rng, 20, 900),
        "title": title,
        "url": f"https://wiki.example.org/{title}?diff=prev&oldid={rng.randint(10_000, 400_000)}",
        "user": rng.choice(_PEOPLE).capitalize(),
    }


def _award(rng: random.Random) -> Content:
    name = " ".join(rng.choices(_WORDS, k=3)).title()
    return {
        "badge": {
            "badge_id": name.lower().replace(" ", "-"),
            "creator": rng.choice(_PEOPLE),
            "criteria": {"datanommer": {"operation": "count", "condition": {"greater than or equal to": 5}}},
            "description": _text(rng, 6, 30),
            "image_url": "https://badges.example.org/pngs/badge.png",
            "name": name,
        },
        "user": {"badges_user_id": rng.randint(1, 9999), "username": rng.choice(_PEOPLE)},
    }


def _acl(rng: random.Random) -> Content:
    return {
        "acl": rng.choice(("commit", "watchbugzilla", "watchcommits")),
        "agent": rng.choice(_PEOPLE),
        "package_listing": {
            "collection": {"branchname": rng.choice(_BRANCHES), "name": "Fedora", "version": "20"},
            "package": {"name": rng.choice(_PACKAGES), "status": "Approved", "summary": _text(rng, 4, 12)},
            "point_of_contact": rng.choice(_PEOPLE),
        },
        "previous_status": "",
        "status": "Approved",
        "username": rng.choice(_PEOPLE),
    }


def _copr(rng: random.Random) -> Content:
    user, copr, build = rng.choice(_PEOPLE), rng.choice(_PACKAGES), rng.randint(10_000, 20_000)
    return {
        "build": build,
        "chroot": rng.choice(("fedora-20-x86_64", "fedora-20-i386", "epel-7-x86_64")),
        "copr": copr,
        "ip": f"192.0.2.{rng.randint(1, 254)}",
        "pid": rng.randint(1000, 30_000),
        "status": rng.choice((0, 1, 1)),
        "user": user,
        "what": f"build: user:{user} copr:{copr} build:{build}",
        "who": f"worker-{rng.randint(1, 9)}",
    }


def _ticket(rng: random.Random) -> Content:
    return {
        "agent": rng.choice(_PEOPLE),
        "comment": _text(rng, 5, 200),
        "instance": {"base_url": "https://trac.example.org/", "project_name": rng.choice(_PACKAGES)},
        "old_values": {"status": "new"},
        "ticket": {
            "component": rng.choice(_PACKAGES),
            "description": _text(rng, 10, 300),
            "id": rng.randint(1, 6000),
            "keywords": "",
            "priority": rng.choice(("minor", "major", "blocker")),
            "reporter": rng.choice(_PEOPLE),
            "status": rng.choice(("assigned", "closed")),
            "summary": _text(rng, 4, 10),
        },
    }


def _mail(rng: random.Random) -> Content:
    person, mailing_list = rng.choice(_PEOPLE), rng.choice(_LISTS)
    return {
        "mlist": {"list_name": mailing_list},
        "msg": {
            "archived-at": f"<https://lists.example.org/{mailing_list}/{rng.getrandbits(100):x}/>",
            "body": _text(rng, 30, 1600),
            "from": f'"{person.capitalize()}" <{person}@example.org>',
            "message-id": f"<{rng.getrandbits(100):x}@example.org>",
            "references": "\n\t".join(f"<{rng.getrandbits(100):x}@example.org>" for _ in range(rng.randint(0, 6))),
            "subject": f"[{mailing_list}] Re: {_text(rng, 3, 9)}",
            "to": f"{mailing_list}@lists.example.org",
        },
    }


def _post(rng: random.Random) -> Content:
    person = rng.choice(_PEOPLE)
    return {
        "face": f"https://avatars.example.org/{person}.png",
        "name": person.capitalize(),
        "post": {
            "content": [{"type": "text/html", "value": f"<p>{_text(rng, 60, 1500)}</p>"}],
            "link": f"https://blogs.example.org/{person}/{rng.randint(1, 99)}",
            "title": _text(rng, 3, 8),
        },
    }


def _issue(rng: random.Random) -> Content:
    person, repository = rng.choice(_PEOPLE), rng.choice(_PACKAGES)
    url = f"https://git.example.org/{person}/{repository}"
    return {
        "action": "created",
        "comment": {"body": _text(rng, 5, 250), "html_url": f"{url}/issues/7#comment", "user": {"login": person}},
        "fas_usernames": {person: person},
        "issue": {"labels": [], "number": rng.randint(1, 900), "state": "open", "title": _text(rng, 4, 10), "url": url},
        "repository": {"full_name": f"{person}/{repository}", "forks_count": rng.randint(0, 90), "html_url": url},
    }


def _compose(rng: random.Random) -> Content:
    return {"arch": rng.choice(("", "arm", "s390")), "branch": "rawhide", "log": "done"}


KINDS = (
    Kind("buildsys.build.state.change", 18, _build),
    Kind("buildsys.task.state.change", 10, _task),
    Kind("buildsys.tag", 9, _tag),
    Kind("git.receive", 17, _commit),
    Kind("bodhi.update.comment", 6, _bodhi_comment),
    Kind("bodhi.update.request.testing", 4, _update),
    Kind("wiki.article.edit", 6, _edit),
    Kind("copr.build.start", 5, _copr),
    Kind("copr.build.end", 5, _copr),
    Kind("mailman.receive", 5, _mail),
    Kind("trac.ticket.update", 4, _ticket),
    Kind("github.issue.comment", 3, _issue),
    Kind("fedbadges.badge.award", 3, _award),
    Kind("pkgdb.acl.update", 3, _acl),
    Kind("planet.post.new", 1, _post),
    Kind("compose.rawhide.complete", 1, _compose),
)
