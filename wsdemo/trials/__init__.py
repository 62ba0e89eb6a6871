"""Trials: named, seeded scenarios of faults that check themselves. For the command line and for tests.

    trial     one row: name, sentence, scenario, transport, parameters
    heard     what a reader heard, and what is wrong with it: lost, twice, order, not told
    stage     what a scenario plays on: servers, lines and readers that end with it
    left      what is left behind: processes, tasks, files, ports
    patience  the one factor of all limits
    servers   the scenarios, by what befalls: the server's process,
    kernels   the kernel that started it,
    lines     the line,
    strangers, nonsense   strangers, and what they say,
    news      the news and the positions of readers,
    together  everything at once
    rows      all of them by name
    worker    plays them inside a child process
    pool      plays many, some at a time, each in a process that can be ended

All chances of a trial come from its name and a seed. What is wrong is decided by counts and order, never by how long
something took. The shape is that of centrifuge's stress_runtime: scenarios with names, seeds that repeat them.
"""
