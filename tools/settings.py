# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sections and keys of glasshub.toml, as they are told to people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from glasshub.config import SECTIONS, ConsumerSection, file_key
from glasshub.toml import as_toml


def sections() -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """Name and purpose of each section; and of each of its keys the name, the default in TOML, and the meaning."""
    classes: dict[str, type[Any]] = {**SECTIONS, "consumers.NAME": ConsumerSection}
    for name, section in classes.items():
        keys = [(file_key(field.name), as_toml(_default(field)), field.metadata["help"]) for field in fields(section)]
        yield name, (section.__doc__ or "").strip(), keys


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
