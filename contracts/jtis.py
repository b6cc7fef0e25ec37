"""Which call used a jti, remembered exactly as long as a node has to."""

from collections import deque

from contracts.discrepancy import JTI_KEPT_MS
from protocols.call import Request
from protocols.private_call import PrivateRequest


class Jtis:
    """The jtis of one journal's calls, or of its private calls."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, bytes], tuple[str, int]] = {}
        self._ends: deque[tuple[int, tuple[str, bytes]]] = deque()

    def take(self, request: Request | PrivateRequest, call: str, now_ms: int) -> str:
        """Return the call that used the jti before, or an empty string."""
        while self._ends and self._ends[0][0] < now_ms:
            _, old = self._ends.popleft()
            if self._calls.get(old, ("", now_ms))[1] < now_ms:
                del self._calls[old]
        jti = (request.bank, request.jti)
        earlier, end = self._calls.get(jti, ("", 0))
        if earlier and end >= now_ms:
            return earlier
        # What is forgotten by then is old enough to be refused for its iat.
        end = max(now_ms, request.iat_ms) + JTI_KEPT_MS
        self._calls[jti] = (call, end)
        self._ends.append((end, jti))
        return ""
