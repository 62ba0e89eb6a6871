"""One factor for every time limit of the tests: a slow machine sets WSDEMO_TEST_PATIENCE=3, and nothing else changes.

A limit only ends a wait that is hopeless. No test is decided by how long something took.
"""

import os

PATIENCE = float(os.environ.get("WSDEMO_TEST_PATIENCE") or 1)


def patient(limit: float) -> float:
    """Return a time limit, in whatever unit it is given, as long as this machine needs it."""
    return limit * PATIENCE
