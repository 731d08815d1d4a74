# SPDX-License-Identifier: LGPL-2.1-or-later
"""The definitions that we ship for Nagios and Icinga, as these programs read them."""

from __future__ import annotations

import getpass
import grp
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from glasshub.check import commandline
from glasshub.check.checks import CHECKS

from .hubs import DEADLINE, ROOT

PACKAGING = ROOT / "packaging/nagios"

#: What a site has already: somebody to tell, a template of services, and a host.
SITE = """\
define command {
    command_name true
    command_line /bin/true
}
define timeperiod {
    timeperiod_name 24x7
    alias always
    monday 00:00-24:00
}
define contact {
    contact_name admin
    host_notification_period 24x7
    service_notification_period 24x7
    host_notification_commands true
    service_notification_commands true
}
define service {
    name generic-service
    register 0
    check_period 24x7
    notification_period 24x7
    contacts admin
}
define host {
    host_name hub01
    address 127.0.0.1
    hostgroups glasshub
    max_check_attempts 1
    check_command true
    check_period 24x7
    notification_period 24x7
    contacts admin
}
"""

ICINGA_SITE = """\
include <itl>
include "{definitions}"
object Host "hub01" {{
  check_command = "dummy"
  vars.glasshub["fedmsg-hub"] = {{ }}
  vars.glasshub["busmon"] = {{ glasshub_names = [ "Mailer", "Badges" ], glasshub_critical = "100" }}
}}
"""


def at_hand(*names: str, package: str) -> str:
    """The program, by one of its names; set-up leaves it out, which brings a mail server or a daemon along."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not at hand; to try our definitions with it: apt-get install {package}")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_nagios_takes_the_objects(tmp_path: Path) -> None:
    nagios = at_hand("nagios4", "nagios", package="nagios4-core")
    (tmp_path / "site.cfg").write_text(SITE, encoding="utf-8")
    (tmp_path / "nagios.cfg").write_text(
        f"cfg_file={tmp_path}/site.cfg\ncfg_file={PACKAGING}/objects/glasshub.cfg\n"
        f"nagios_user={getpass.getuser()}\nnagios_group={grp.getgrgid(os.getgid()).gr_name}\n"
        f"illegal_macro_output_chars=`~$&|'\"<>\n"
        + "".join(f"{key}={tmp_path}/{key}\n" for key in ("log_file", "object_cache_file", "status_file", "temp_file"))
        + f"check_result_path={tmp_path}\ntemp_path={tmp_path}\nlock_file={tmp_path}/lock\n",
        encoding="utf-8",
    )

    done = run(nagios, "-v", str(tmp_path / "nagios.cfg"))

    assert f"Checked {len(CHECKS)} services" in done.stdout, done.stdout
    assert re.search(r"Total Warnings: 0\nTotal Errors: +0\n", done.stdout), done.stdout
    assert done.returncode == 0


def test_icinga_takes_the_objects(tmp_path: Path) -> None:
    icinga = at_hand("icinga2", package="icinga2-bin")
    file = tmp_path / "site.conf"
    file.write_text(ICINGA_SITE.format(definitions=PACKAGING / "icinga2/glasshub.conf"), encoding="utf-8")
    constants = {key: str(tmp_path) for key in ("DataDir", "CacheDir", "InitRunDir", "LogDir", "SpoolDir")}
    constants["RunAsUser"], constants["RunAsGroup"] = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name

    done = run(icinga, "daemon", "-C", "-c", str(file), *(f"-D{key}={value}" for key, value in constants.items()))

    assert done.returncode == 0, done.stdout
    assert f"Instantiated {2 * len(CHECKS)} Services." in done.stdout


def test_snippet_of_nrpe_answers_what_the_objects_of_nagios_ask() -> None:
    snippet = (PACKAGING / "nrpe.d/glasshub.cfg").read_text(encoding="utf-8")
    objects = (PACKAGING / "objects/glasshub.cfg").read_text(encoding="utf-8")

    answered = re.findall(r"^command\[glasshub_(.+?)\]", snippet, re.MULTILINE)
    asked = re.findall(r"check_command\s+check_glasshub!(\S+)", objects)

    assert sorted(answered) == sorted(asked) == sorted(CHECKS)


def test_options_of_icingas_command_are_options_of_every_check_that_it_is_for() -> None:
    definitions = (PACKAGING / "icinga2/glasshub.conf").read_text(encoding="utf-8")
    options = set(re.findall(r'^    "(-[\w-]+)" =', definitions, re.MULTILINE))

    for name, check in CHECKS.items():
        parser = commandline.Parser()
        commandline.add_checks(parser)
        values = {"-t": "5", "--absent": "ok", "--stats-dir": "/", "-w": "1", "-c": "2", "--since-last": None}
        assert options == set(values)
        given = [
            word
            for option in options
            if check.is_of_interval or option != "--since-last"
            for word in (option, values[option])
        ]
        parser.parse_args([name, "hub", *filter(None, given)])
