# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consumers that others published, and the services that they talk to."""
