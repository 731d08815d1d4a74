# SPDX-License-Identifier: LGPL-2.1-or-later
"""Endpoints of zeromq, as fedmsg's configuration writes them."""

from __future__ import annotations

import socket


def addresses(endpoint: str) -> list[str]:
    """What to bind to for an endpoint: libzmq takes the name of a host when it connects, but not when it binds."""
    transport, _, place = endpoint.partition("://")
    host, _, port = place.rpartition(":")
    if transport != "tcp" or host in ("*", "") or host.startswith("["):
        return [endpoint]
    try:
        found = socket.gethostbyname_ex(host)[2]
    except OSError:  # the name of an interface, or of nothing: libzmq will say
        return [endpoint]
    return [f"tcp://{address}:{port}" for address in dict.fromkeys(found)]  # /etc/hosts may say one twice
