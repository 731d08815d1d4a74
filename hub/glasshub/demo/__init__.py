# SPDX-License-Identifier: LGPL-2.1-or-later
"""`glasshub demo`: the spike of "Threading Moksha", replayed and measured. `docs/demo.md` is its manual."""
