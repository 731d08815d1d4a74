# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's configuration: Python files that each define a dict named `config`."""

from __future__ import annotations

import os
import re
import runpy
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config import ConfigBuilder
from ..errors import ConfigError


def _seconds(milliseconds: Any) -> float:
    return float(milliseconds) / 1000


#: fedmsg's keys that say the same as one of ours.
_SAME: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "zmq_strict": ("zmq", "strict", bool),
    "zmq_tcp_keepalive": ("zmq", "tcp_keepalive", int),
    "zmq_tcp_keepalive_idle": ("zmq", "tcp_keepalive_idle", int),
    "zmq_tcp_keepalive_intvl": ("zmq", "tcp_keepalive_interval", int),
    "zmq_tcp_keepalive_cnt": ("zmq", "tcp_keepalive_count", int),
    "zmq_reconnect_ivl": ("zmq", "reconnect_interval", _seconds),
    "zmq_reconnect_ivl_max": ("zmq", "reconnect_interval_max", _seconds),
}


class FedmsgConfigFiles:
    """What the files say, each key with the file that said it last.

    Attributes:
        values: All files merged, as fedmsg merges them: nested dicts key by key, later files last.
        origins: The file of each top-level key.
    """

    def __init__(self, path: Path) -> None:
        """Run the files.

        Args:
            path: One file, or a directory whose `*.py` files are run in the order of their names.

        Raises:
            ConfigError: There is no such path, or a file cannot be run or defines no `config`.
        """
        self.path = path
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        for file in _files(path):
            for key, value in _run(file).items():
                self.values[key] = _merged(self.values.get(key), value)
                self.origins[key] = str(file)

    def apply(self, builder: ConfigBuilder) -> None:
        """Set what has a key of ours.

        Raises:
            ConfigError: A value makes no sense.
        """
        builder.set("fedmsg", "config", str(self.path), origin=builder.origin("fedmsg", "config"))
        if "endpoints" in self.values:
            builder.set("zmq", "endpoints", list(self._endpoints()), origin=self.origins["endpoints"])
        if self.values.get("high_water_mark"):  # 0 is fedmsg's way to say nothing
            origin = self.origins["high_water_mark"]
            builder.set("zmq", "receive_high_water_mark", self.values["high_water_mark"], origin=origin)
        for key, (section, ours, convert) in _SAME.items():
            if key in self.values:
                builder.set(section, ours, self._converted(key, convert), origin=self.origins[key])

    def hub_config(self) -> dict[str, Any]:
        """The dict that consumers find as `hub.config`: fedmsg's defaults, and over them what the files say.

        Raises:
            ConfigError: fedmsg refuses a value.
        """
        import fedmsg.config

        # fedmsg.publish and fedmsg.config.conf, which consumers use on their own, have to agree with us.
        os.environ["FEDMSG_CONFIG"] = str(self.path)
        config = fedmsg.config.FedmsgConfig()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                config.load_config(settings=self.values or {"zmq_enabled": True})
        except ValueError as error:
            raise ConfigError(f"fedmsg refuses this configuration: {error}", origin=str(self.path)) from None
        # What fedmsg's older loader adds, which fedmsg-hub used and fedmsg.meta wants.
        config.setdefault("topic_prefix_re", re.escape(config["topic_prefix"]) + r"\.[^\W\d_]+")
        return dict(config)

    def _converted(self, key: str, convert: Callable[[Any], Any]) -> Any:
        try:
            return convert(self.values[key])
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{key} = {self.values[key]!r} is not a number", origin=self.origins[key]) from None

    def _endpoints(self) -> Iterator[str]:
        endpoints = self.values["endpoints"]
        if not isinstance(endpoints, dict):
            raise ConfigError(f"endpoints must be a dict of lists, not {endpoints!r}", origin=self.origins["endpoints"])
        for of_one_service in endpoints.values():
            if not isinstance(of_one_service, (str, list, tuple)):
                raise ConfigError(
                    f"endpoints must be a dict of lists, not of {of_one_service!r}", origin=self.origins["endpoints"]
                )
            yield from [of_one_service] if isinstance(of_one_service, str) else of_one_service


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.py"))
    if path.is_file():
        return [path]
    raise ConfigError("there is no such file or directory", origin=str(path))


def _run(file: Path) -> Mapping[str, Any]:
    try:
        config = runpy.run_path(str(file)).get("config")
    except OSError as error:
        raise ConfigError(f"cannot read fedmsg's configuration: {error.strerror}", origin=str(file)) from None
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else str(file)
        raise ConfigError(f"this is not Python: {error.msg}", origin=place) from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"this file cannot be run: {type(error).__name__}: {error}", origin=str(file)) from None
    if not isinstance(config, dict):
        raise ConfigError('the file defines no dict named "config"', origin=str(file))
    return config


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
