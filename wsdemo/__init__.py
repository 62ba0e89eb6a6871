"""wsdemo: one stream of news, several ways to hear it, measured by one clock and one set of counters.

It is the helper package of a course in notebooks. It is made for reading and for measuring on one machine. It is not a
framework: for a service of your own use aiohttp, websockets or what your framework brings.

Read the modules in this order; each knows only those before it:

    updates     Update, Schedule, and the schedules every(), poisson(), earthquakes()
    theory      what each transport should cost, in closed form
    feed        Feed: plays a schedule, keeps a log, answers what came after seq n
    reader      Reader: one client's position, timetable and tally
    guard, meter, limits, tasks
                who may ask; bytes at the sockets; open files; tasks that do not get lost
    transports  one file a transport: serve() and hear()
    children, serve, clients
                server and clients in processes of their own
    progress    the bar that long work shows
    measure     measure() and compare()
    plots       the figures
    wire        the handshake and the frames by hand, for reading
    jupyter     where a page that a notebook serves is seen from
    pages       what the servers of pages share
    echo, live  two programs with a page: the first WebSocket, and pull and push side by side

Nothing is imported here, so that a server process holds only what it serves.
"""

__version__ = "1.0.0"
