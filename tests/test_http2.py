"""HTTP/2 between two programs: headers are sent once, and streams have a bound."""

import asyncio

import pytest

from wsdemo import http2


def test_a_repeated_poll_costs_little_however_many_headers_it_has():
    """A browser's headers double a poll in HTTP/1.1; in HTTP/2 they stand in a table, at a byte or two each."""

    async def costs(two):
        return [await http2.bytes_of_a_poll(two, headers) for headers in ({}, http2.BROWSER)]

    bare, full = asyncio.run(costs(False))
    bare2, full2 = asyncio.run(costs(True))
    assert full - bare > 300
    assert 0 < full2 - bare2 <= 2 * len(http2.BROWSER)
    assert bare2 < bare / 2


@pytest.mark.parametrize("readers, begun", [(20, 20), (101, 100)])
def test_readers_share_a_connection_up_to_a_bound(readers, begun):
    """The hundred and first stream waits in silence: no error, no answer."""
    counts = asyncio.run(http2.held_streams(readers, begun))
    assert counts == {"connections": 1, "streams": begun, "errors": 0}
