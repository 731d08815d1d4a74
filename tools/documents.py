# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the documents that are derived from code: `docs/metrics.md`, `docs/configuration.md`, `docs/cli.md`, and the
tables of `docs/moving.md`; and the manual pages and shell completions in `packaging/`."""

from __future__ import annotations

import sys
from pathlib import Path

from glasshub.compat.fedmsg_config import SAME
from glasshub.compat.services import SERVICES, written
from glasshub_stats import histogram, layout, schema

from . import command_line, completion, man_pages
from .derived import main
from .fedmsg_keys import KEYS, effect
from .markdown import table, with_part
from .settings import sections

DOCS = Path(__file__).parent.parent / "docs"
_MOVING = DOCS / "moving.md"
_SEGMENT = DOCS / "segment.md"

_NOTE = "<!-- Written by `make docs` from {source}; do not edit. -->\n"

#: Between these two lines of a document stands what is derived; the rest of it is written by hand.
_BEGIN = "<!-- Begin of what `make docs` wrote from {source}; do not edit. -->\n"
_END = "<!-- End of what `make docs` wrote. -->\n"

#: What `effect` says of keys that set nothing of ours.
_AS_EVER, _IDLE = ("for fedmsg", "for consumers"), ("no effect here",)

_METRICS = """\
# Metrics

Every number that Glasshub shows, defined once, in `hub/glasshub_stats/schema.py`; segment, `glasshub stats`,
OpenMetrics page and collectd values are derived from it. A *stored* metric is a slot of the segment with one
writer. A *derived* one is computed by the reader, from the stored ones of one snapshot, or of two.

Counters only grow while the hub lives, and begin at 0 when it starts. Reading never resets anything. All durations
are measured on CLOCK_MONOTONIC: setting the clock of the machine changes none of them.

A message goes this way:

    received ─┬─ malformed            (nobody gets it)
              ├─ unrouted             (nobody wants it)
              └─ for each interested consumer:
                 enqueued ─┬─► backlog ─┬─ dequeued ── in flight ─┬─ processed
                 injected ─┤            ├─ dropped                ├─ failed
                 (not of   │            └─ withdrawn              ├─ invalid
                 the bus)  │                                      ├─ duplicates
                           │                                      ├─ discarded
                           │                                      ├─ parked
                           ├── requeued ◄────── delayed ◄─────────┼─ retried
                           └──◄───────────────────────────────────┴─ interrupted

`retried` and `interrupted` are attempts, all others on the right are ends. What is retried waits for its time,
`delayed`, and then is put into the queue again; what is interrupted, because its worker process died, is in the queue
again at once. `injected` is counted in `enqueued`. So it is, for each consumer:

* backlog = enqueued + requeued + repeated + interrupted - dequeued - dropped - withdrawn
* in flight = dequeued - processed - failed - invalid - duplicates - discarded - parked - retried - interrupted
* delayed = retried - requeued - recalled

and therefore, at any time, **enqueued + repeated - recalled = backlog + dropped + withdrawn + in flight + delayed +
processed + failed + invalid + duplicates + discarded + parked**.

`repeated` and `recalled` are 0 but in shape `processes`: what a worker process was done with, and could not say so
before it died, is `repeated`, put into the queue once more. What it had finished of that ends twice; what it had
retried, `recalled`, does not wait for its time.
"""

_CONFIGURATION = """\
# Configuration

`glasshub run` takes its configuration from these places, the later ones over the earlier:

1. the defaults below;
2. fedmsg's own configuration, see [below](#fedmsgs-configuration);
3. `glasshub.toml`: `--config FILE`, or `/etc/glasshub/glasshub.toml` if it is there;
4. `--service`, see [below](#relay-gateway-and-irc-bot);
5. the command line.

`glasshub config`, with the same options, prints what comes out of that and where each value comes from. A key that
is not in the tables below is an error, which names the nearest one that is.
"""

_CONFIGURATION_END = """
## The command line

`--name`, `--shape`, `--zmq` (repeated: `zmq.endpoints`) and `--stats-dir` (`stats.directory`) set the value of that
name. `--consumer A:B` (repeated) or `--with-consumers A:B,C:D` name the consumers that run instead of all others; a
section of the same class still gives them workers, group and settings. `--with-producers A:B,C:D` names the producers
that run instead of those that installed packages declare; `--with-producers ""` runs none.

## fedmsg's configuration

`glasshub run` takes the same configuration as `fedmsg-hub`, from the same places:

1. `--fedmsg-config PATH`, a file or a directory of `*.py`; or `--config-filename FILE`, as for `fedmsg-hub`;
2. else `[fedmsg] config` of `glasshub.toml`;
3. else `$FEDMSG_CONFIG`;
4. else whatever is there of `/etc/fedmsg.d`, `~/.fedmsg.d`, `./fedmsg.d`, `$VIRTUAL_ENV/etc/fedmsg.d`,
   `/etc/fedmsg-config.py`, `~/.fedmsg-config.py` and `./fedmsg-config.py`, the later ones over the earlier.

`--no-discover`, or `discover = false` in `[fedmsg]`, leaves out 3 and 4. Files of a directory that the hub may not read
are left out, with a warning, as fedmsg leaves them out.

Each file is run once; all of them once more in a worker process, if one defines what is no plain data, such as a
function. What comes out is what consumers find as `hub.config`, and what `fedmsg.publish`,
`fedmsg.config.load_config()` and `fedmsg.config.conf` in a consumer go by. Two keys that fedmsg-hub's own loader does
not fill in have a value all the same: `validate_signatures` is true, and `zmq_enabled` is.

These keys set values of ours:

| fedmsg | Glasshub |
| --- | --- |
| `endpoints` (all of them), `srv_endpoints`, or where neither is given `zmq_subscribe_endpoints` | `zmq.endpoints` |
| `high_water_mark` (if not 0) | `zmq.receive_high_water_mark` |
| `moksha.blocking_mode` (if true) | `hub.shape` is `shared` |
{same}| `logging` | the log, see below |
| `explicit_hub_consumers` | the consumers that run, as `--with-consumers` |
| `zmq_enabled` | must be true: STOMP and AMQP are not spoken |

What fedmsg, its consumers and `fedmsg.publish` read works as ever: `validate_signatures` and all that belongs to it,
`status_directory`, `datagrepper_url`, `skip_last_message`, `topic_prefix`, `environment`, `relay_inbound` and so on. A
key of fedmsg-hub or Moksha that changes nothing here is named once in the log when the hub starts. All other keys
belong to consumers. `glasshub config` lists every key with its value (secrets hidden), what it does here, and its file.

`--topic-prefix`, `--io-threads`, `--post-init-sleep`, `--timeout`, `--high-water-mark` and `--linger` set the key that
they set for `fedmsg-hub`. `--websocket-server-port` is refused: there is no server for websockets. In the place of
`--print-config` there is `glasshub config`.

### Logging

Where fedmsg's configuration has `logging`, it is applied as `fedmsg-hub` applies it (`logging.config.dictConfig`), but
silences no logger. If it has no handler for the root logger, `[logging]` has one there, which takes what no handler of
theirs takes. `level` and `file` of `[logging]` in `glasshub.toml`, where they are given, count over its root logger.
SIGHUP opens its files anew, too.

### Relay, gateway and IRC bot

`--service` runs what fedmsg has commands of its own for: exactly that consumer, switched on whatever the files say of
it, in a hub of that name unless `--name` says otherwise.

| `--service` | instead of | needs |
| --- | --- | --- |
{services}
The relays bind to `relay_inbound`, publish at the first address of `endpoints['relay_outbound']` that is free, and run
no producer but the one for monitoring.

## Configuration that others may write to

fedmsg's configuration is Python code, and `glasshub.toml` names code. So a file that anybody may write to is refused,
and so is one in a directory that anybody may write to, and one behind such a directory: whoever can put another
directory in its place can have his own code run. A sticky directory such as `/tmp` may be on the way, but not be the
directory of the file, and what stands in it must belong to root or to the user of the hub. Symbolic links are
followed, and every directory that they lead through counts. Who owns a file does not matter otherwise, nor that a
group may write to it: software is often deployed by a user of its own. `--allow-unsafe-config` leaves all this out.

## Worker processes

In shape `processes` all consumers and producers are in one worker process, `main`, but the consumers whose section
names another one:

    [consumers.Badges]
    class = "badges:Badges"
    process = "badges"
    max_processing = 60.0
    replace = true

`badges` is for all that name it, and as many processes may be named as there are processors to use. Consumers of one
`group` have to be in the same. With `replace` a process is killed, and another one started, when this consumer has been
at one message for longer than `max_processing`; who else is in the process is interrupted with it. A message of which a
process has died `max_deaths` times, or was killed for, is parked in the spool if there is one, and else counted as
failed. What else comes of a death is in [delivery.md](delivery.md#when-a-worker-process-dies).

Each worker process says in the stats nothing of its own: consumers have their rows wherever they are. The hub has
`worker_processes`, those that are up, and `worker_restarts`.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | stopped as it was told to, nothing left undone but what the spool, or the broker, keeps |
| 1 | could not start, or a thread of the hub died: one line on standard error says why |
| 2 | the command line or the configuration is wrong: one line says what, where, and what to do |
| 4 | stopped as it was told to, but messages were left undone; the log says how many of which consumer |
| other | stopped because a consumer raised `Halt` with that exit code |
| 130, 143 | ended by a third SIGINT or SIGTERM, whatever hung |
| 141 | whoever read the output has gone |

`glasshub demo` and `glasshub spike` end with 1 also when a message is not accounted for, and with 130 when they were
interrupted, as `glasshub forecast` does.

## Signals

SIGTERM and SIGINT stop receiving and drain for at most `hub.drain_timeout`, with a spool only the messages at hand; a
second one stops at once, and a third ends it, whatever hangs. SIGHUP opens the log files anew, those of worker
processes, too. SIGABRT, and whatever else kills a process that is broken, leaves on standard error what each thread was
at. Worker processes leave SIGTERM, SIGINT and SIGHUP to the hub.

## Under systemd

With `Type=notify` in its unit ([moving.md](moving.md#a-unit-for-systemd) has one) the hub tells systemd how it is, or
whoever else has put an address into `$NOTIFY_SOCKET` (sd_notify(3)):

| told | when |
| --- | --- |
| `READY=1` | the source is open and subscribed, and all workers are up |
| `STATUS=` | every five seconds; `systemctl status` shows it |
| `WATCHDOG=1` | twice in `WatchdogSec`, as long as the enqueuer and the main loop go round |
| `RELOADING=1`, then `READY=1` | SIGHUP; with what `Type=notify-reload` wants to know |
| `STOPPING=1` | the hub begins to drain |
| `EXTEND_TIMEOUT_USEC=` | every five seconds while it drains; `TimeoutStopSec` may be less than `hub.drain_timeout` |

The status says how many messages wait, and which consumer is slowest: the one whose oldest message has waited longest,
or that has been at one message for longer still. That shows also where a backlog does not shrink, and the catch-up
time, which stands beside it, is unknown.

    running: 103 messages waiting; slowest is badges: 3 waiting, the oldest for 3m20s, does not catch up

**Watchdog.** An enqueuer that hangs is noticed after `WatchdogSec`, or half as much again at the most, a main loop that
hangs within `WatchdogSec`. Then systemd ends the hub with SIGABRT, and starts it anew if `Restart=` says so. A consumer
that hangs is no reason: its neighbours go on, and a restart would cost them their backlog; the status, collectd and
`glasshub stats` show it. There is one exception. In shape `inline` consumers run in the enqueuer's own thread: there
`WatchdogSec` must be longer than the longest time that all consumers together may take for one message, and for what
they have put into their own queues. Where nobody knows that time, leave it out. Elsewhere 30 seconds are plenty; below
2 seconds the main loop, which goes round twice a second, is too slow.

What consumers start does not find `$NOTIFY_SOCKET` and the like in its environment, so that nobody else speaks for
the hub.
"""


def metrics() -> str:
    """The text of docs/metrics.md."""
    parts = [
        ("The hub, stored", schema.HUB_FIELDS),
        ("The hub, derived from one snapshot", schema.HUB_DERIVED),
        ("A consumer, stored by the enqueuer and others who put", schema.CONSUMER_FIELDS),
        ("A consumer, stored by each of its workers", schema.WORKER_FIELDS),
        ("A consumer, derived from one snapshot", schema.CONSUMER_DERIVED),
        ("A consumer, derived from the interval between two snapshots", schema.INTERVAL_DERIVED),
        ("A producer, stored", schema.PRODUCER_FIELDS),
        ("A producer, derived from one snapshot", schema.PRODUCER_DERIVED),
    ]
    text = _NOTE.format(source="hub/glasshub_stats/schema.py") + _METRICS
    for title, metrics_of in parts:
        text += f"\n## {title}\n\n" + table(
            ("metric", "kind", "unit", "written by", "meaning"),
            ((f"`{m.name}`", m.kind, m.unit or "-", m.writer, m.help) for m in metrics_of),
        )
    return text + _histograms()


def _histograms() -> str:
    return (
        "\n## Histograms\n\n"
        f"{histogram.BUCKETS} buckets, log-linear: 16 to each doubling of the duration, from "
        f"{histogram.EDGES[1] * 1e9:.0f} ns to {histogram.EDGES[-1]:.0f} s; the last one takes everything longer. "
        "A percentile is the middle of the bucket that holds it: within 3.2 % for durations of 8.2 us and more. "
        "`upper` is the upper edge of the highest bucket that is not empty. Percentiles *of an interval* come from "
        "the difference of two snapshots; mean and sum are exact.\n"
    )


def configuration() -> str:
    """The text of docs/configuration.md."""
    text = _NOTE.format(source="hub/glasshub/config.py") + _CONFIGURATION
    for name, purpose, keys in sections():
        text += f"\n## [{name}]\n\n{purpose}\n\n" + table(
            ("key", "default", "meaning"), ((f"`{key}`", f"`{default}`", meaning) for key, default, meaning in keys)
        )
    return text + _CONFIGURATION_END.format(same=_same(), services=_services())


def cli() -> str:
    """The text of docs/cli.md."""
    return _NOTE.format(source="hub/glasshub/cli/") + command_line.reference()


def moving() -> str:
    """The text of docs/moving.md."""
    return _with_part(_MOVING, "tools/fedmsg_keys.py", _keys())


def segment() -> str:
    """The text of docs/segment.md."""
    _, _, drawn = (layout.__doc__ or "").partition("\n\n")
    return _with_part(_SEGMENT, "hub/glasshub_stats/layout.py", f"\n{drawn.replace('::', ':').strip()}\n\n")


def _with_part(path: Path, source: str, part: str) -> str:
    """A document whose derived part is this one."""
    return with_part(path.read_text(encoding="utf-8"), _BEGIN.format(source=source), part, _END)


def _keys() -> str:
    effects = {key: effect(key) for key in KEYS}
    ours = [key for key in KEYS if effects[key] not in (*_AS_EVER, *_IDLE)]
    as_ever = [key for key in KEYS if effects[key] in _AS_EVER]
    idle = [key for key in KEYS if effects[key] in _IDLE]
    return (
        "\n### Keys that say something to Glasshub itself\n\n"
        + table(("key", "here", "to know"), ((f"`{key}`", effects[key], KEYS[key]) for key in ours))
        + "\n### Keys that fedmsg and its consumers read, as ever\n\n"
        + table(("key", "for"), ((f"`{key}`", KEYS[key]) for key in as_ever))
        + "\n### Keys that change nothing here\n\n"
        + table(("key", "was for"), ((f"`{key}`", KEYS[key]) for key in idle))
        + "\n"
    )


def _same() -> str:
    """fedmsg's keys and ours, as rows of a table."""
    return "".join(
        f"| `{key}`{' (milliseconds)' if key.startswith('zmq_reconnect') else ''} | `{ours.section}.{ours.key}` |\n"
        for key, ours in SAME.items()
    )


def _services() -> str:
    return "".join(
        f"| `{name}` | `{service.name}` | {', '.join(f'`{written(path)}`' for path in service.required)} |\n"
        for name, service in SERVICES.items()
    )


def _documents() -> dict[Path, str]:
    configured = configuration()
    return {
        DOCS / "metrics.md": metrics(),
        DOCS / "configuration.md": configured,
        DOCS / "cli.md": cli(),
        _MOVING: moving(),
        _SEGMENT: segment(),
        **man_pages.pages(configured),
        **completion.scripts(),
    }


if __name__ == "__main__":
    sys.exit(main(_documents, __doc__))
