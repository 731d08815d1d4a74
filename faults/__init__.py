# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real hubs that are killed, starved and lied to, and an audit of what became of each message: `make faults`."""
