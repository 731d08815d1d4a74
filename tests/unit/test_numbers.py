# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers on a command line."""

from __future__ import annotations

import pytest

from glasshub.cli import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["demo", "--rate", "fast"], "'fast' is not a number above 0"),
        (["demo", "--rate", "inf"], "'inf' is not a number above 0"),
        (["spike", "--quiet", "-1"], "'-1' is not a number of 0 or more"),
        (["spike", "--speed", "fast"], "'fast' is neither a number of 0 or more nor max"),
        (["forecast", "--computing", "much"], "'much' is not a number from 0 to 1"),
        (["forecast", "--computing", "nan"], "'nan' is not a number from 0 to 1"),
        (["forecast", "--computing", "1.01"], "'1.01' is not a number from 0 to 1"),
        (["stats", "--watch", "nan"], "'nan' is not a number of seconds above 0"),
        (["top", "--interval", "0.01"], "'0.01' is not a number of seconds of 0.1 or more"),
        (["top", "--iterations", "1.5"], "'1.5' is not a whole number above 0"),
    ],
)
def test_a_number_that_cannot_be_is_named_with_what_would_do(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert complaint in capsys.readouterr().err
