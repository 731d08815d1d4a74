# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `glasshub demo` and `glasshub spike` share: putting a load on a hub, recording what becomes of it, and telling
what came out."""
