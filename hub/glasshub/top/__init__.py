# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub top`: hubs and their consumers, live in a terminal, from their segments alone."""
