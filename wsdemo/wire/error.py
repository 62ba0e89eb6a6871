"""What goes wrong on the wire, and what bytes may come as. Knows nothing else."""

Buffer = bytes | bytearray | memoryview


class WireError(ValueError):
    """What came over the wire breaks RFC 6455; the connection cannot go on.

    `code` says how to end it. Once frames flow it is the close code that the RFC names (section 7.4.1): 1002 protocol
    error, 1007 text that is not UTF-8, 1009 too big. A server that refuses a handshake answers with an HTTP status
    (400, 426); a client has nobody to tell and only reports 1006. `str(error)` is one sentence.
    Used in the lesson `04_upgrade_the_connection`.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
