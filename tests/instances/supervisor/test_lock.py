from __future__ import annotations

import os
from pathlib import Path

import pytest

from instances.supervisor.lock import DataLock, LockHeld


# row 8: a second supervisor on the same data folder
def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        DataLock(tmp_path),
        pytest.raises(LockHeld, match=f"Process {os.getpid()} already supervises"),
        DataLock(tmp_path),
    ):
        pass
    with DataLock(tmp_path):
        pass
