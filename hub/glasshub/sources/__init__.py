# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where messages come from. One module for each kind of bus; nothing else imports its library."""

from .base import Batch, QueueState, Source, SourceState

__all__ = ["Batch", "QueueState", "Source", "SourceState"]
