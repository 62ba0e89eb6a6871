"""One factor for every time limit, that of the tests: a slow machine sets WSDEMO_TEST_PATIENCE=3."""

from __future__ import annotations

import os

VARIABLE = "WSDEMO_TEST_PATIENCE"


def patient(limit_s: float) -> float:
    """Return a limit in seconds as long as this machine needs it. A limit only ends a wait that is hopeless."""
    return limit_s * float(os.environ.get(VARIABLE) or 1)
