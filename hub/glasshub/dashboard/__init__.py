# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page that shows hubs to a person on call: how far behind each consumer is, since when, and until when.

What is known comes from two places, which fill in the same `model`: the hubs' segments, looked at again and again and
remembered (`live`), and collectd's RRDs (`recorded`). `page` makes HTML of it, which `server` answers with, and `files`
writes. The page needs nothing from elsewhere: one style sheet and one script, both in it.
"""
