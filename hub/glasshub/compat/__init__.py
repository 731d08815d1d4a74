# SPDX-License-Identifier: LGPL-2.1-or-later
"""What consumers and configurations written for fedmsg need. Nothing else imports fedmsg or Moksha."""
