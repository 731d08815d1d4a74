# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every key that fedmsg-hub, its sister services and Moksha read, and what somebody who moves has to know of it.

What a key does in Glasshub is not said here: `FedmsgConfigFiles.effect` says it. The keys of fedmsg's other commands
(fedmsg-tail, fedmsg-trigger and so on) are left out: those commands stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from glasshub.compat.fedmsg_config import FedmsgConfigFiles

_GATEWAY = "fedmsg.consumers.gateway"
_SIGNING = "Signing what `fedmsg.publish` publishes."
_X509 = "Checking signatures of fedmsg's x509 backend; fetched and cached by fedmsg."
_GPG = "fedmsg's gpg backend."
_SENDING = "`fedmsg.publish`."
_IRC = "The IRC bot."
_AMQP = "AMQP, which is not spoken here."
_STOMP = "STOMP, which is not spoken here."
_WEBSOCKET = "Moksha's websocket server, which is not here."

#: A note on each key.
KEYS: Mapping[str, str] = MappingProxyType(
    {
        "active": _SENDING + " True connects to `relay_inbound`, False binds.",
        "amqp_broker": _AMQP,
        "amqp_broker_password": _AMQP,
        "amqp_broker_ssl": _AMQP,
        "amqp_broker_threaded": _AMQP,
        "amqp_broker_username": _AMQP,
        "app_db": "The database of consumers and producers that set Moksha's `app`.",
        "ca_cert_cache": _X509,
        "ca_cert_cache_expiry": _X509,
        "ca_cert_location": _X509,
        "cert_prefix": _SIGNING,
        "certname": _SIGNING,
        "certnames": _SIGNING + " `--service signing-relay` needs `certnames['signing_relay']`.",
        "config_filename": "Use the option of that name.",
        "crl_cache": _X509,
        "crl_cache_expiry": _X509,
        "crl_location": _X509,
        "crypto_backend": "`x509` or `gpg`.",
        "crypto_validate_backends": "Which of the two may have signed.",
        "datagrepper_url": "Where what fell into a gap of the bus is fetched, and the backlog of before the start, if "
        "`status_directory` is set.",
        "endpoints": "All of them are subscribed to, each once. `*` in an address is read as 127.0.0.1.",
        "environment": "Part of the topics that consumers publish.",
        "explicit_hub_consumers": "As `--with-consumers`, which goes over it.",
        "fedmsg.consumers.dummy.enabled": "Switches fedmsg's own consumer on.",
        f"{_GATEWAY}.enabled": "Switches fedmsg's own consumer on; `--service gateway` does it by itself.",
        f"{_GATEWAY}.high_water_mark": "The gateway's own socket.",
        f"{_GATEWAY}.port": "The gateway's own socket.",
        "fedmsg.consumers.ircbot.enabled": "Switches fedmsg's own consumer on; `--service irc` does it by itself.",
        "fedmsg.consumers.relay.enabled": "Switches fedmsg's own consumer on; `--service relay` does it by itself.",
        "gpg_home": _GPG,
        "gpg_keys": _GPG,
        "gpg_signing_key": _GPG,
        "high_water_mark": "fedmsg's 0, no limit, is taken as 100,000, our default; `receive_high_water_mark = 0` in "
        "`[zmq]` is no limit. `fedmsg.publish` finds 0: with anything else it raises, with today's pyzmq.",
        "io_threads": _SENDING,
        "irc": _IRC,
        "irc_color_lookup": _IRC,
        "irc_default_color": _IRC,
        "irc_method": _IRC,
        "logging": "Goes to `logging.config.dictConfig`, and silences no logger of before.",
        "moksha.blocking_mode": "Consumers find it true in any case; see [Threads](#threads).",
        "moksha.livesocket.backend": _WEBSOCKET,
        "moksha.livesocket.websocket.client2server": _WEBSOCKET,
        "moksha.livesocket.websocket.interface": _WEBSOCKET,
        "moksha.livesocket.websocket.port": _WEBSOCKET + " The option `--websocket-server-port` is refused.",
        "moksha.monitoring.socket": "The same document, each five seconds; see [Monitoring](#monitoring).",
        "moksha.monitoring.socket.mode": "As with fedmsg-hub: a string of octal digits; a number will do, too.",
        "moksha.threadpool_size": "Threads of Twisted's for workers and producers; they have their own here.",
        "moksha.workers_per_consumer": "`workers` in a section `[consumers.NAME]` goes over it. More than "
        "one in shapes `processes` and `threads` only.",
        "mute": _SENDING,
        "name": _SENDING + " Not the hub's name, which `--name` is.",
        "persistent_store": _SENDING + " Its replay.",
        "post_init_sleep": _SENDING,
        "print_config": "Use `glasshub config`.",
        "relay_inbound": "`fedmsg.publish` with `active`; where `--service relay` binds.",
        "replay_endpoints": "Consumers that set `replay_name`; see [Delivery](#delivery).",
        "routing_nitpicky": "Who may sign what.",
        "routing_policy": "Who may sign what.",
        "sign_messages": _SIGNING,
        "skip_last_message": "Leaves out the first message of the backlog that is fetched, as fedmsg-hub does.",
        "srv_endpoints": "Added to `endpoints`, by DNS; needs dnspython, as with fedmsg-hub.",
        "ssldir": "Where keys and certificates are.",
        "status_directory": "Where consumers write which message they are at; see [And back](#and-back).",
        "stomp_ack_mode": _STOMP,
        "stomp_broker": _STOMP,
        "stomp_delay": _STOMP,
        "stomp_heartbeat": _STOMP,
        "stomp_pass": _STOMP,
        "stomp_port": _STOMP,
        "stomp_queue": _STOMP,
        "stomp_send_explicit_nacks": _STOMP,
        "stomp_ssl_crt": _STOMP,
        "stomp_ssl_key": _STOMP,
        "stomp_unescape_headers": _STOMP,
        "stomp_uri": _STOMP,
        "stomp_user": _STOMP,
        "timeout": _SENDING,
        "topic_prefix": _SENDING,
        "topic_prefix_re": "`fedmsg.meta`.",
        "validate_signatures": "Checked once for each message and consumer, not twice. True if nobody says so.",
        "zmq_enabled": "False asks for another bus, and is refused. True if nobody says so.",
        "zmq_linger": _SENDING,
        "zmq_publish_endpoints": "Where `hub.send_message` publishes.",
        "zmq_reconnect_ivl": "Milliseconds here, seconds there.",
        "zmq_reconnect_ivl_max": "Milliseconds here, seconds there.",
        "zmq_strict": "Then a subscription is the whole topic, no prefix.",
        "zmq_subscribe_endpoints": "Only where there are neither `endpoints` nor `srv_endpoints`.",
        "zmq_subscribe_method": "`connect` or `bind`.",
        "zmq_tcp_keepalive": "1 on, 0 off, -1 as the system has it.",
        "zmq_tcp_keepalive_cnt": "Lost probes.",
        "zmq_tcp_keepalive_idle": "Seconds.",
        "zmq_tcp_keepalive_intvl": "Seconds.",
    }
)


def effect(key: str) -> str:
    """What a key does here, where it is the only one that is set."""
    files = FedmsgConfigFiles()
    files.set(key, True, origin="")
    return files.effect(key)
