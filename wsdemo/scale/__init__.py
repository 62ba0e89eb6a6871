"""Past one process: the broker (NATS), the stream in it, what publishes there, and the feed that comes from it.

For `serving` and whoever starts such processes. What needs the broker's libraries (`wsdemo[scale]`) imports them here.
"""
