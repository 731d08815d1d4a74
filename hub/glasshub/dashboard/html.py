# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTML that cannot be broken out of: whatever is not `Html` already is escaped on its way in."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Union

#: Elements without an end.
_VOID = frozenset({"br", "link", "meta"})


class Html(str):
    """Text that is HTML, not to be escaped again."""

    __slots__ = ()


Child = Union[str, Iterable[str]]


def element(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element.

    Args:
        name: Its name.
        children: Texts, which are escaped, or `Html`, or several of these; empty ones go unnoticed.
        attributes: `class_` is called class, and `data_every` data-every; those that are None are left out.
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """One after another."""
    return Html("".join(map(_text, children)))


def _text(child: Child) -> str:
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return html.escape(_visible(child), quote=False)
    return joined(*child)


def _attribute(key: str, value: object) -> str:
    return f' {key.rstrip("_").replace("_", "-")}="{html.escape(_visible(str(value)))}"'


def _visible(text: str) -> str:
    """Without what HTML does not know, and what turns text around: names may be hostile."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
