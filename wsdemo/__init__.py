"""wsdemo: one stream of news, several ways to hear it, measured by one clock and one set of counters.

It is the helper package of a course in notebooks. It is made for reading and for measuring on one machine. It is not a
framework: for a service of your own use aiohttp, websockets or what your framework brings.

The rooms in their order; each knows only those above it, which a test proves.

    workload        what a run asks for: Workload, its defaults, phases and poll times
    catalogue       the running example: one real week of earthquakes
    moments         how those of a bursty source are drawn, and those of a table read
    updates         Update, and the schedules: one class and one row each
    theory          what each transport should cost
    tasks           tasks that do not get lost, servers that outlast a cell
    beats           even times, and the least time between two messages
    position        a reader's place in a log, as a request says it
    news            News, and the feed's answers, as they are sent
    logfile         the file of a log: what is none is refused, and stays as it is
    log             what a feed keeps of them: in memory, or on disk, where it outlives the server
    feed            Feed: plays a schedule, keeps a log, answers what came after seq n
    returns         how readers come back after a break, and what a server says to that
    addresses       where a far end may be found: one address, or several
    far_end         whatever is at the other end of hear, judged by one rule
    reader          Reader: one client's position, timetable and tally
    guard           who may ask: the rules of Host and Origin
    door            how many connections are let in, and which of them must go
    leaving         how a server says goodbye: at once, or one by one over a time
    segments        TCP segments, and what the line carries besides the payload
    meter, limits   bytes at the sockets; open files
    loops           event loops whose timers wake in time
    line            a line that can be bad: slow, cut, half-open, a proxy
    fanout          one frame, written to all readers who are up to date
    connection      WebSocket connections that wait for nobody for ever
    transports      one file a transport with serve() and hear(), and one row each
    processes       what runs beside the notebook: children, the jobs they are given, many clients
    scale           past one process: the broker, what publishes there, the feed that comes from it
    serving         what runs in a server process: one feed, by one or more transports
    serve           a server in a process of its own
    tls             a proxy that ends TLS, and what it uses
    gateways        several server processes on one broker
    words           numbers as people read them
    choose          which transport a workload wants, and why
    progress        the bar that long work shows
    rehearse        what a transport takes on this machine, tried before a run
    legs            where a push spends its time, leg by leg
    befall          what a line does to a run, and what theory can still foresee
    table           the headline table, its figures and their form
    result          Measurement and Comparison: what was measured
    seen            what was seen of one run, and what is said of it
    measure         measure() and compare()
    hidden          a line with a fault that nobody names, for an exercise
    plots           the figures; every sentence of theirs stands in plots.captions
    wire            the handshake and the frames by hand, for reading
    http2           HTTP/2 between two programs, counted on the way
    jupyter         where a page that a notebook serves is seen from
    pages           what pages share: types, policies, addresses
    echo, live      two programs with a page: the first WebSocket, and pull and push side by side
    trials          named scenarios of faults that check themselves
    command         the command line, one file a job
    __main__        its entrance

Nothing is imported here, so that a server process holds only what it serves.
"""

__version__ = "1.0.0"
