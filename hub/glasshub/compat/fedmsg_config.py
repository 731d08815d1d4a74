# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedmsg's configuration: Python files that each define a dict named `config`."""

from __future__ import annotations

import logging
import marshal
import os
import re
import runpy
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..config import ConfigBuilder, ZmqSection
from ..errors import ConfigError
from ..trust import refuse_unsafe

logger = logging.getLogger(__name__)

#: What `fedmsg_values.py` hands to fedmsg's loader, which takes nothing but names of files.
SAID: ContextVar[dict[str, Any]] = ContextVar("SAID")

_ETC = Path("/etc")
_VALUES_FILE = Path(__file__).with_name("fedmsg_values.py")

#: Keys that fedmsg-hub has from its command line, and those without which its consumers or Moksha raise a KeyError.
_AT_LEAST: Mapping[str, Any] = MappingProxyType(
    {
        "endpoints": {},
        "zmq_enabled": True,
        "validate_signatures": True,
        "explicit_hub_consumers": None,
        "config_filename": None,
        "moksha.livesocket.websocket.port": None,
    }
)


class Place(NamedTuple):
    """Where fedmsg's configuration is, and who says so."""

    paths: tuple[Path, ...]
    origin: str


def find_config() -> Place:
    """Find fedmsg's configuration where fedmsg finds it: $FEDMSG_CONFIG, or else the places where fedmsg-hub looks.

    Returns:
        No paths, if there is no configuration in any of these places.

    Raises:
        ConfigError: $FEDMSG_CONFIG names nothing that is there.
    """
    named = os.environ.get("FEDMSG_CONFIG")
    if not named:
        return Place(tuple(place for place in _places() if os.path.isfile(place) or any(place.glob("*.py"))), "found")
    if not os.path.exists(named):
        raise ConfigError(f"there is no file or directory {named!r}: correct or unset it", origin="FEDMSG_CONFIG")
    return Place((Path(named),), "FEDMSG_CONFIG")


def _places() -> Iterator[Path]:
    """Where fedmsg's older loader looks, which is that of fedmsg-hub and fedmsg.publish; in its order."""
    home, here = Path(os.path.expanduser("~")), Path.cwd()
    yield _ETC / "fedmsg.d"
    yield home / ".fedmsg.d"
    yield here / "fedmsg.d"
    if "VIRTUAL_ENV" in os.environ:
        yield Path(os.environ["VIRTUAL_ENV"], "etc", "fedmsg.d")
    yield _ETC / "fedmsg-config.py"
    yield home / ".fedmsg-config.py"
    yield here / "fedmsg-config.py"


def _seconds(milliseconds: Any) -> float:
    return float(milliseconds) / 1000


def as_bool(value: Any) -> bool:
    """Truth as Moksha reads it: a string says yes or no.

    Raises:
        ValueError: The string says neither.
    """
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in ("true", "yes", "on", "y", "t", "1"):
        return True
    if word in ("false", "no", "off", "n", "f", "0"):
        return False
    raise ValueError(value)


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError(value)
    return value or ""


def _octal(mode: Any) -> str:
    return f"{mode:04o}" if isinstance(mode, int) else _text(mode)


def _list(commas: Any) -> list[str]:
    return [item.strip() for item in _text(commas).split(",") if item.strip()]


class Ours(NamedTuple):
    """The key of ours that says the same as one of fedmsg's."""

    section: str
    key: str
    convert: Callable[[Any], Any]
    wanted: str = "a number"


#: fedmsg's and Moksha's keys that set one of ours; endpoints and high_water_mark have rules of their own.
SAME: Mapping[str, Ours] = MappingProxyType(
    {
        "zmq_strict": Ours("zmq", "strict", as_bool, "true or false"),
        "zmq_tcp_keepalive": Ours("zmq", "tcp_keepalive", int),
        "zmq_tcp_keepalive_idle": Ours("zmq", "tcp_keepalive_idle", int),
        "zmq_tcp_keepalive_intvl": Ours("zmq", "tcp_keepalive_interval", int),
        "zmq_tcp_keepalive_cnt": Ours("zmq", "tcp_keepalive_count", int),
        "zmq_reconnect_ivl": Ours("zmq", "reconnect_interval", _seconds),
        "zmq_reconnect_ivl_max": Ours("zmq", "reconnect_interval_max", _seconds),
        "zmq_subscribe_method": Ours("zmq", "method", _text, "a string"),
        "zmq_publish_endpoints": Ours("zmq", "publish_endpoints", _list, "a string of endpoints with commas between"),
        "datagrepper_url": Ours("fedmsg", "datagrepper_url", _text, "a string"),
        "moksha.monitoring.socket": Ours("fedmsg", "monitoring_socket", _text, "a string"),
        "moksha.monitoring.socket.mode": Ours("fedmsg", "monitoring_socket_mode", _octal, "an octal mode"),
        "moksha.workers_per_consumer": Ours("fedmsg", "workers_per_consumer", int),
    }
)

#: What is about fedmsg's bus, besides what has a key of ours in [zmq].
_OF_BUS = ("endpoints", "srv_endpoints", "zmq_subscribe_endpoints", "zmq_enabled", "high_water_mark")

#: What fedmsg itself reads: its consumers, fedmsg.publish, fedmsg.meta.
_FEDMSGS = re.compile(
    r"active|ca_cert_\w+|cert_prefix|certnames?|crl_\w+|crypto_\w+|environment|fedmsg\..*|gpg_\w+|"
    r"io_threads|irc|irc_\w+|max_queue_size|mute|name|persistent_store|post_init_sleep|relay_inbound|replay_endpoints|"
    r"routing_\w+|sign_messages|skip_last_message|ssldir|status_directory|timeout|topic_prefix(_re)?|"
    r"validate_signatures|zmq_linger"
)

#: What Moksha or fedmsg-hub read, and nothing here does.
_IDLE = re.compile(
    r"amqp_\w+|config_filename|moksha\.livesocket\..*|moksha\.threadpool_size|orbited_\w+|print_config|stomp_\w+"
)


class FedmsgConfigFiles:
    """What the files say, each key with the file that said it last.

    Attributes:
        paths: What the files were taken from.
        values: All files merged, as fedmsg merges them: nested dicts key by key, later files last.
        origins: The file of each top-level key.
        warnings: What an operator should know and fedmsg goes on in spite of, a sentence each.
    """

    def __init__(self, *paths: Path, allow_unsafe: bool = False) -> None:
        """Run the files.

        Args:
            paths: Files, and directories whose `*.py` files are run in the order of their names.
            allow_unsafe: Whether to run what anybody could have written.

        Raises:
            ConfigError: There is no such path, anybody may write to it, or a file cannot be run or defines no
                `config`.
        """
        self.paths = paths
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.warnings: list[str] = []
        self._found_endpoints: dict[str, list[str]] | None = None
        self._is_on_zmq = True
        self._allow_unsafe = allow_unsafe
        for file in self._files():
            if not allow_unsafe:
                refuse_unsafe(file)
            for key, value in _run(file).items():
                self.set(key, _merged(self.values.get(key), value), origin=str(file))

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: plain values as they are; for functions, locks and the like it runs the files.

        `marshal` tells them apart: it takes exactly what is plain, and never looks at more than the value.
        """
        plain = {key: _marshalled(value) for key, value in self.values.items()}
        return {**self.__dict__, "values": plain}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See `__getstate__`.

        Raises:
            ConfigError: The files had to be run, and could not be.
        """
        self.__dict__.update(state)
        plain = state["values"]
        again = self.values
        if None in plain.values():
            again = FedmsgConfigFiles(*self.paths, allow_unsafe=self._allow_unsafe).values
        self.values = {
            key: again[key] if value is None else marshal.loads(value)
            for key, value in plain.items()
            if value is not None or key in again
        }

    def set(self, key: str, value: Any, *, origin: str) -> None:
        """Set a value over what the files say."""
        self.values[key] = value
        self.origins[key] = origin

    def apply(self, builder: ConfigBuilder, *, is_on_zmq: bool = True) -> None:
        """Set what has a key of ours.

        Args:
            builder: What takes it.
            is_on_zmq: Whether the bus is that of fedmsg; on another one nothing of it counts that is about the bus.

        Raises:
            ConfigError: A value makes no sense, or asks for what this hub does not do.
        """
        self._is_on_zmq = is_on_zmq
        paths = [str(path) for path in self.paths]
        builder.set("fedmsg", "config", paths, origin=builder.origin("fedmsg", "config"))
        self._apply_blocking_mode(builder)
        if is_on_zmq:
            self._refuse_other_buses()
            self._apply_endpoints(builder)
            self._apply_high_water_mark(builder)
        for key, ours in SAME.items():
            if key in self.values and not self._is_idle(key):
                value = self._converted(key, ours.convert, ours.wanted)
                builder.set(ours.section, ours.key, value, origin=self.origins[key])

    def consumers(self) -> list[str]:
        """The consumers that run instead of all others, if the files name some.

        Raises:
            ConfigError: They are named in another form than `module:Class,module:Class`.
        """
        key = "explicit_hub_consumers"
        wanted = "a string of module:Class with commas between"
        return list(self._converted(key, _list, wanted)) if key in self.values else []

    def effect(self, key: str) -> str:
        """What a key does here."""
        if self._is_idle(key):
            return "no effect here"
        if key in SAME:
            return f"-> [{SAME[key].section}] {SAME[key].key}"
        if key in _OTHERS:
            return _OTHERS[key]
        return "for fedmsg" if _FEDMSGS.fullmatch(str(key)) else "for consumers"

    def without_effect(self) -> list[tuple[str, str]]:
        """The keys of fedmsg-hub and Moksha that change nothing here, each with its origin."""
        return [(key, origin) for key, origin in self.origins.items() if self._is_idle(key)]

    def hub_config(self, zmq: ZmqSection) -> dict[str, Any]:
        """The dict that consumers find as `hub.config`: what fedmsg-hub would have given to Moksha.

        It is made by fedmsg's own loader, which keeps it, so that `fedmsg.publish`, `fedmsg.config.load_config` and
        `fedmsg.config.conf` in a consumer go by the same.

        Raises:
            ConfigError: fedmsg refuses it.
        """
        config = self._loaded()
        config["zmq_subscribe_endpoints"] = ",".join(zmq.endpoints)
        config["zmq_subscribe_method"] = zmq.method
        if zmq.publish_endpoints:
            config["zmq_publish_endpoints"] = ",".join(zmq.publish_endpoints)
        self._tell_newer_loader(config)
        # Moksha copies it, too: what a consumer sets in hub.config is not set for fedmsg.publish.
        return dict(config)

    def _files(self) -> Iterator[Path]:
        for path in self.paths:
            if not os.path.exists(path):
                raise ConfigError("there is no such file or directory", origin=str(path))
            yield from self._files_in(path) if path.is_dir() else [path]

    def _files_in(self, directory: Path) -> Iterator[Path]:
        """The files of a directory; fedmsg goes on without one that it may not read, such as another service's."""
        for file in sorted(directory.glob("*.py")):
            try:
                file.open("rb").close()
            except OSError as error:
                self.warnings.append(f"{file} is left out: {error.strerror}")
            else:
                yield file

    def _refuse_other_buses(self) -> None:
        key = "zmq_enabled"
        if key in self.values and not self._converted(key, as_bool, "true or false"):
            raise ConfigError(
                f"{key} = {self.values[key]!r} asks for another bus, but this hub subscribes to fedmsg over zeromq "
                f"only, not to STOMP or AMQP: set it to True and name the publishers in endpoints",
                origin=self.origins[key],
            )

    def _apply_endpoints(self, builder: ConfigBuilder) -> None:
        """Subscribe as fedmsg-hub does, for which zmq_subscribe_endpoints counts only where endpoints does not."""
        for key in ("endpoints", "srv_endpoints"):
            if key in self.values:
                builder.set("zmq", "endpoints", list(self._publishers()), origin=self.origins[key])
                return
        key = "zmq_subscribe_endpoints"
        if key in self.values:
            endpoints = self._converted(key, _list, "a string of endpoints with commas between")
            builder.set("zmq", "endpoints", endpoints, origin=self.origins[key])

    def _apply_high_water_mark(self, builder: ConfigBuilder) -> None:
        key = "high_water_mark"
        if self.values.get(key):  # 0 is fedmsg's way to say nothing
            builder.set("zmq", "receive_high_water_mark", self.values[key], origin=self.origins[key])

    def _apply_blocking_mode(self, builder: ConfigBuilder) -> None:
        """In Moksha's blocking mode no two consumers ever run at the same time; they may count on it."""
        key = "moksha.blocking_mode"
        if key in self.values and self._converted(key, as_bool, "true or false"):
            builder.set("hub", "shape", "shared", origin=self.origins[key])

    def _publishers(self) -> Iterator[str]:
        services = self.values.get("endpoints", {})
        origin = self.origins.get("endpoints", "")
        if not isinstance(services, dict):
            raise ConfigError(f"endpoints must be a dict of lists, not {services!r}", origin=origin)
        named = [list(endpoints_in(of_one, "endpoints", origin=origin)) for of_one in services.values()]
        if self.values.get("srv_endpoints"):
            self._found_endpoints = self._look_up()
            named = list(self._found_endpoints.values())
        for of_one_service in named:
            yield from of_one_service

    def _look_up(self) -> dict[str, list[str]]:
        """All endpoints, with those that DNS names."""
        domains, origin = self.values["srv_endpoints"], self.origins["srv_endpoints"]
        if not isinstance(domains, (list, tuple)) or not all(isinstance(domain, str) for domain in domains):
            raise ConfigError(f"srv_endpoints must be a list of domain names, not {domains!r}", origin=origin)
        found: dict[str, list[str]] = self._loaded()["endpoints"]
        return found

    def _loaded(self) -> dict[str, Any]:
        """What fedmsg's loader makes of what was said; the very dict that it keeps for fedmsg.publish."""
        try:
            import fedmsg.config
        except ImportError as error:
            raise ConfigError(f"fedmsg cannot be imported: {error}: install fedmsg[consumers]") from None
        # fedmsg.publish would hand another high_water_mark than 0 to an option that zeromq no longer has, and fail.
        said = {**_AT_LEAST, **self.values, "print_config": False, "high_water_mark": 0}
        if self._found_endpoints is not None:  # once is enough
            said.update(endpoints=self._found_endpoints, srv_endpoints=[])
        token = SAID.set(said)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                config: dict[str, Any] = fedmsg.config.load_config(
                    [], None, filenames=[str(_VALUES_FILE)], invalidate_cache=True
                )
        except ImportError as error:
            raise ConfigError(
                f"fedmsg looks srv_endpoints up with dnspython, and cannot import it: {error}: install dnspython",
                origin=self.origins.get("srv_endpoints", ""),
            ) from None
        except Exception as error:
            raise ConfigError(
                f"fedmsg cannot load this configuration: {_on_one_line(error)}", origin=self._origin()
            ) from None
        finally:
            SAID.reset(token)
        self.warnings += [str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)]
        if "srv_endpoints" in self.values:
            config["srv_endpoints"] = self.values["srv_endpoints"]
        return config

    def _tell_newer_loader(self, config: Mapping[str, Any]) -> None:
        """Have fedmsg.config.conf say the same, and processes that consumers start find the same files."""
        import fedmsg.config

        if len(self.paths) == 1:
            os.environ["FEDMSG_CONFIG"] = os.path.abspath(self.paths[0])
        try:
            fedmsg.config.conf.load_config(settings=dict(config))
        except ValueError as error:
            # fedmsg-hub never asks it, and it keeps the values all the same.
            complaint = "; ".join(line.strip() for line in str(error).splitlines()[1:])
            logger.warning("fedmsg.config.conf finds fault with %s: %s", self._origin(), complaint)

    def _origin(self) -> str:
        return ", ".join(map(str, self.paths))

    def _is_idle(self, key: str) -> bool:
        value = self.values[key]
        if not self._is_on_zmq and _is_of_bus(key):
            return True
        if key == "zmq_subscribe_endpoints":
            return "endpoints" in self.values or "srv_endpoints" in self.values
        return value is not None and _IDLE.fullmatch(str(key)) is not None

    def _converted(self, key: str, convert: Callable[[Any], Any], wanted: str) -> Any:
        try:
            return convert(self.values[key])
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{key} = {self.values[key]!r} is not {wanted}", origin=self.origins[key]) from None


#: What the keys do that set one of ours in ways of their own.
_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "endpoints": "-> [zmq] endpoints",
        "srv_endpoints": "-> [zmq] endpoints",
        "zmq_subscribe_endpoints": "-> [zmq] endpoints",
        "high_water_mark": "-> [zmq] receive_high_water_mark, if not 0",
        "logging": "-> the log",
        "zmq_enabled": "must be true",
        "moksha.blocking_mode": "-> [hub] shape = shared, if true",
        "explicit_hub_consumers": "names the consumers that run",
    }
)


def _is_of_bus(key: str) -> bool:
    """Whether it is about sockets of zeromq; whether topics are prefixes is not."""
    return key in _OF_BUS or (key in SAME and SAME[key].section == "zmq" and SAME[key].key != "strict")


def endpoints_in(listed: Any, name: str, *, origin: str) -> Sequence[str]:
    """The endpoints of a list, or of one string.

    Raises:
        ConfigError: It is something else.
    """
    endpoints = [listed] if isinstance(listed, str) else listed
    if not isinstance(endpoints, (list, tuple)) or not all(isinstance(endpoint, str) for endpoint in endpoints):
        where = "a dict of lists of strings, not of" if name == "endpoints" else "a list of strings, not"
        raise ConfigError(f"{name} must be {where} {listed!r}", origin=origin)
    return endpoints


def _run(file: Path) -> Mapping[str, Any]:
    try:
        config = runpy.run_path(str(file)).get("config")
    except OSError as error:
        raise ConfigError(f"cannot read fedmsg's configuration: {error.strerror}", origin=str(file)) from None
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else str(file)
        raise ConfigError(f"this is not Python: {error.msg}", origin=place) from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"this file cannot be run: {_on_one_line(error)}", origin=_place(file, error)) from None
    if not isinstance(config, dict):
        raise ConfigError('the file defines no dict named "config"', origin=str(file))
    return config


def _marshalled(value: Any) -> bytes | None:
    """The value as `marshal` has it; None for one that is not plain."""
    try:
        return marshal.dumps(value)
    except ValueError:
        return None


def _place(file: Path, error: BaseException) -> str:
    """The file, and the line of it that was run last."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _on_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
