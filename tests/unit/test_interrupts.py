# SPDX-License-Identifier: LGPL-2.1-or-later
"""A signal ends the sleep of the one who waits for it, whenever it comes."""

from __future__ import annotations

import select
import signal
import threading

from glasshub.top.interrupts import Interrupts

from ..fakes import PATIENCE


def is_rung(interrupts: Interrupts, timeout: float) -> bool:
    return bool(select.select([interrupts], [], [], timeout)[0])


def test_a_signal_ends_the_sleep_before_python_has_noted_it() -> None:
    """Another thread is interrupted by it: the one that sleeps runs no step of the program, no handler."""
    with Interrupts() as interrupts:
        is_about_to_sleep = threading.Event()

        def signal_itself() -> None:
            is_about_to_sleep.wait(PATIENCE)
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        thread = threading.Thread(target=signal_itself)
        thread.start()
        is_about_to_sleep.set()

        assert is_rung(interrupts, PATIENCE)
        assert interrupts.ended_by == signal.SIGTERM
        thread.join()


def test_what_was_cleared_before_python_noted_the_signal_rings_once_more() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGWINCH)
        interrupts.clear()
        assert not is_rung(interrupts, 0)

        interrupts._note(signal.SIGWINCH, None)

        assert is_rung(interrupts, 0)


def test_signals_are_handled_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)

    with Interrupts():
        pass

    assert (signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)) == before
