# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a certificate in a directory, and prints a message that fedmsg has signed with it, as JSON.

It is run by the interpreter under test: what signs and what checks are the libraries of one environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fedmsg.crypto

from glasshub.compat.x509 import make_x509_usable

from ..pki import Authority


def config(directory: Path) -> dict[str, Any]:
    """fedmsg's configuration for such a directory."""
    return {
        "validate_signatures": True,
        "ssldir": str(directory),
        "ca_cert_location": str(directory / "ca.crt"),
        "crl_location": str(directory / "crl.pem"),
        "routing_policy": {},
        "routing_nitpicky": False,
    }


def _signed(directory: Path, topic: str) -> dict[str, Any]:
    make_x509_usable()
    authority = Authority(directory, "ca")
    authority.give("shop")
    authority.revocations("crl")
    message = {"topic": topic, "msg": {"price": 1.5}, "msg_id": "2014-1", "timestamp": 1400000000}
    return dict(fedmsg.crypto.sign(message, ssldir=str(directory), certname="shop"))


if __name__ == "__main__":
    json.dump(_signed(Path(sys.argv[1]), sys.argv[2]), sys.stdout)
