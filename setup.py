# SPDX-License-Identifier: LGPL-2.1-or-later
"""One distribution, three packages; metadata stands here for the setuptools of EL 9 (see pyproject.toml).

Under a Python older than 3.9, as collectd of EL 7 and EL 8 embeds, only the two packages that collectd needs are
built.
"""

import io
import re
import sys

from setuptools import find_packages, setup

ROOTS = {
    "glasshub": "hub/glasshub",
    "glasshub_stats": "hub/glasshub_stats",
    "collectd_glasshub": "collectd_plugin/collectd_glasshub",
}

PROGRAMS = [
    "glasshub = glasshub.cli:main",
    # The plugin of Nagios by itself, which starts faster, and with the names and arguments it had for fedmsg-hub.
    "check_glasshub = glasshub.check.commandline:main",
    "check_fedmsg_consumer_backlog = glasshub.check.fedora:consumer_backlog",
    "check_fedmsg_consumer_exceptions = glasshub.check.fedora:consumer_exceptions",
    "check_fedmsg_producers_consumers = glasshub.check.fedora:producers_consumers",
    "check_fedmsg_producer_last_ran = glasshub.check.fedora:producer_last_ran",
]

HAS_HUB = sys.version_info >= (3, 9)


def read(path):
    with io.open(path, encoding="utf-8") as file:
        return file.read()


def packages():
    found = find_packages("hub", include=["glasshub_stats", "glasshub_stats.*"])
    found += find_packages("collectd_plugin")
    if HAS_HUB:
        found += find_packages("hub", include=["glasshub", "glasshub.*"])
    return sorted(found)


setup(
    name="glasshub",
    version=re.search(r'__version__ = "(.+?)"', read("hub/glasshub/__init__.py")).group(1),
    description="A message hub that one can see into: takes the place of fedmsg-hub, and shows each consumer's backlog",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="LGPL-2.1-or-later",
    license_files=["COPYING"],
    packages=packages(),
    package_dir=ROOTS,
    package_data={"glasshub.dashboard": ["page.css", "page.js"]},
    python_requires=">=2.7, !=3.0.*, !=3.1.*, !=3.2.*, !=3.3.*, !=3.4.*, !=3.5.*",
    install_requires=[
        "six>=1.9",
        # docs/libraries.md says what each of these is for, and what was tried.
        'pyzmq>=22; python_version >= "3.9"',
        'fedmsg[consumers,crypto_ng]>=1.1; python_version >= "3.9"',
        # Moksha, below fedmsg, imports pkg_resources, which setuptools 81 dropped; neither asks for an older one.
        'setuptools<81; python_version >= "3.9"',
        'rich>=12; python_version >= "3.9"',
        'tomli>=1.1; python_version >= "3.9" and python_version < "3.11"',
    ],
    extras_require={
        "fedora-messaging": ["pika>=1.2"],
        "test": [
            "fedora-messaging>=3.5",
            "hypothesis>=6.80",
            "import-linter>=2.0",
            "irc>=20.0",
            "mypy>=1.10",
            "nagiosplugin>=1.3",
            "pika>=1.2",
            "prometheus-client>=0.17",
            "pytest>=7.4",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.7",
            "ruff>=0.17,<0.18",  # each minor version formats a little differently
            "shtab>=1.13,<1.14",  # so does each of this one
            "types-six",
        ],
    },
    entry_points={"console_scripts": PROGRAMS if HAS_HUB else []},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Monitoring",
    ],
)
