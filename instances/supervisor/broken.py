"""What a broken record, file or setting of one launch or job may raise. The database's absence is not among them."""

from __future__ import annotations

import psutil
from django.db import DataError, IntegrityError

BROKEN: tuple[type[Exception], ...] = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError),
    *(psutil.Error, DataError, IntegrityError),
)
