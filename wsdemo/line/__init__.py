"""The way between clients and a server, which can be slow, cut, half-open or in the hands of a proxy.

    async with Line(server_port, "delay=50ms,cut=3s") as line:
        ...                       # clients go to line.port
        line.change("idle=1s")    # another fault, on connections that stand, too
        line.cut(rst=True)        # cut all now
        line.vanish("down")       # half-open: what the server says gets lost, and nobody is told
        line.vanish(None)         # what has waited comes late, as TCP sends it again
        line.did.counts["cut"]    # what it did, and line.did.events when

`fault` has what can be wrong, `spoken` the words for it, `relay` the line, `link` one connection, `way` one direction
of it, `proxy` what is done to HTTP.
"""

# With "as": whoever uses a line finds all that belongs to it here.
from wsdemo.line.fault import Fault as Fault
from wsdemo.line.relay import Did as Did
from wsdemo.line.relay import Event as Event
from wsdemo.line.relay import Line as Line
from wsdemo.line.spoken import WORDS as WORDS
from wsdemo.line.spoken import parse_line as parse_line
from wsdemo.line.spoken import words_of as words_of
