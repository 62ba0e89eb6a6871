"""The command line, one file a job: `add` says what may be asked for, `run` does it. For `__main__` alone."""
