# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub spike`, `forecast` and `record`: what a load does to the consumers of an operator. `docs/spike.md` is their
manual."""
