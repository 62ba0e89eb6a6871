"""The figures of the course. The only package here that imports matplotlib.

They draw what `measure` returned. Each function returns a `Figure`, which has a caption and an alt text; both state
numbers computed from the data that was drawn.

Read the modules in this order; each knows only those before it:

    figure      Figure: a drawing with its words, its style, its PNG
    ink         colours and shapes, points and notes, ticks, keys, labels kept apart
    quantities  what figures compute from measurements, and what they refuse
    captions    every word of every figure: another language is another such file
    captions_line  the same for the figures of a bad line
    panels      the panels of a comparison
    compared    figures of one comparison: overview, timeline, latencies, bytes_per_delivery
    sweeps      figures of a sweep: wasted_curve, latency_curve, load_curve, cost_staleness, memory_per_connection
    lines       figures of a bad line: storm, heartbeat_cost, silences
    world       the map: earthquake_map
"""

from wsdemo.plots.compared import bytes_per_delivery as bytes_per_delivery
from wsdemo.plots.compared import latencies as latencies
from wsdemo.plots.compared import overview as overview
from wsdemo.plots.compared import timeline as timeline
from wsdemo.plots.figure import Figure as Figure
from wsdemo.plots.ink import PULL as PULL
from wsdemo.plots.ink import PUSH as PUSH
from wsdemo.plots.lines import heartbeat_cost as heartbeat_cost
from wsdemo.plots.lines import silences as silences
from wsdemo.plots.lines import storm as storm
from wsdemo.plots.sweeps import cost_staleness as cost_staleness
from wsdemo.plots.sweeps import latency_curve as latency_curve
from wsdemo.plots.sweeps import load_curve as load_curve
from wsdemo.plots.sweeps import memory_per_connection as memory_per_connection
from wsdemo.plots.sweeps import wasted_curve as wasted_curve
from wsdemo.plots.world import earthquake_map as earthquake_map
