# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Nagios and its kin are told of a hub, as the guidelines of the Monitoring Plugins want it said."""
