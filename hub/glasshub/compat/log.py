# SPDX-License-Identifier: LGPL-2.1-or-later
"""The log, as our configuration and fedmsg's say together."""

from __future__ import annotations

from ..config import Config
from ..logs import set_up, set_up_dict
from .fedmsg_config import FedmsgConfigFiles


def set_up_log(config: Config, files: FedmsgConfigFiles | None) -> None:
    """Set the log of this process up.

    Raises:
        ConfigError: fedmsg's dictionary is no good, or a file cannot be opened.
    """
    section = config.logging
    if files is None or "logging" not in files.values:
        set_up(section.level, section.file)
        return
    set_up_dict(
        files.values["logging"],
        origin=files.origins["logging"],
        level=section.level,
        file=section.file,
        explicit=[key for key in ("level", "file") if f"logging.{key}" in config.origins],
    )
