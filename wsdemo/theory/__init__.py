"""What each transport should cost. No I/O, and no knowledge of any module but the workload.

`closed`: closed forms, for any Poisson process or given the schedule; `walks`: what happens along the
schedule, exactly; `costs`: sums of prices; `rows`: a prediction for each transport.
"""

# With "as", whoever reads the formulas finds the timetable and the timeout beside them: `theory.poll_times`.
from wsdemo.theory.closed import conflated_messages_per_s as conflated_messages_per_s
from wsdemo.theory.closed import conflated_wait_mean as conflated_wait_mean
from wsdemo.theory.closed import freshness as freshness
from wsdemo.theory.closed import latency_mean as latency_mean
from wsdemo.theory.closed import latency_mean_latest_only as latency_mean_latest_only
from wsdemo.theory.closed import latency_quantile as latency_quantile
from wsdemo.theory.closed import least_cost_interval as least_cost_interval
from wsdemo.theory.closed import long_poll_cycle as long_poll_cycle
from wsdemo.theory.closed import long_poll_latency_mean as long_poll_latency_mean
from wsdemo.theory.closed import long_poll_wasted_fraction as long_poll_wasted_fraction
from wsdemo.theory.closed import missed_fraction_latest_only as missed_fraction_latest_only
from wsdemo.theory.closed import requests_per_update as requests_per_update
from wsdemo.theory.closed import wasted_fraction as wasted_fraction
from wsdemo.theory.closed import wasted_fraction_given as wasted_fraction_given
from wsdemo.theory.closed import wasted_fraction_periodic as wasted_fraction_periodic
from wsdemo.theory.costs import Choice as Choice
from wsdemo.theory.costs import Prices as Prices
from wsdemo.theory.costs import conflated_cost as conflated_cost
from wsdemo.theory.costs import crossover as crossover
from wsdemo.theory.costs import equal_heartbeat_period as equal_heartbeat_period
from wsdemo.theory.costs import least_cost as least_cost
from wsdemo.theory.costs import least_cost_conflation as least_cost_conflation
from wsdemo.theory.costs import least_cost_heartbeat_period as least_cost_heartbeat_period
from wsdemo.theory.costs import polling_cost as polling_cost
from wsdemo.theory.costs import push_cost as push_cost
from wsdemo.theory.costs import push_latency_mean as push_latency_mean
from wsdemo.theory.costs import push_latency_quantile as push_latency_quantile
from wsdemo.theory.costs import silence_cost as silence_cost
from wsdemo.theory.rows import Prediction as Prediction
from wsdemo.theory.rows import long_polling as long_polling
from wsdemo.theory.rows import polling as polling
from wsdemo.theory.rows import push as push
from wsdemo.theory.rows import unforeseen as unforeseen
from wsdemo.theory.walks import ConflatedWalk as ConflatedWalk
from wsdemo.theory.walks import LongPollsWalk as LongPollsWalk
from wsdemo.theory.walks import PollsWalk as PollsWalk
from wsdemo.theory.walks import Walk as Walk
from wsdemo.theory.walks import conflated as conflated
from wsdemo.theory.walks import heartbeats as heartbeats
from wsdemo.theory.walks import long_polls as long_polls
from wsdemo.theory.walks import polls as polls
from wsdemo.workload import LONG_POLL_TIMEOUT_S as LONG_POLL_TIMEOUT_S
from wsdemo.workload import Workload as Workload
from wsdemo.workload import phases as phases
from wsdemo.workload import poll_times as poll_times
from wsdemo.workload import polls_due as polls_due
