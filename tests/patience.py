"""One factor for every time limit of the tests: a slow machine sets WSDEMO_TEST_PATIENCE=3, and nothing else changes.

A limit only ends a wait that is hopeless. No test is decided by how long something took. The trials, which one plays
without the tests, have the same one.
"""

from wsdemo.trials.patience import patient as patient

PATIENCE = patient(1.0)
