"""Kernels of the tests, reached by files where the system has sockets that are files.

A kernel's ports are chosen before it starts, while they are free. A second later, when it is up, one of them may be the
end of somebody's connection, since tests open thousands; then the kernel dies.
"""

import os
import shutil
import tempfile
import weakref

import jupyter_client

BY_FILES = os.name != "nt"


class KernelManager(jupyter_client.KernelManager):
    def __init__(self, **options):
        if not BY_FILES:
            super().__init__(**options)
            return
        folder = tempfile.mkdtemp(prefix="kernel-")
        super().__init__(transport="ipc", ip=os.path.join(folder, "ipc"), **options)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
