"""How Twilio fails, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Of one message, or of one picture. Nothing is taken unless it says so."""

    INTERNAL = "500"
    BUSY = "429"
    UNAVAILABLE = "503"
    HANG = "taken, and no answer"
    LOST = "taken, and the connection is reset"
    RESET = "the connection is reset"
    TAKEN_500 = "taken, and a 500 all the same"
    TAKEN_503 = "taken, and a 503 of a proxy"
    NO_JSON = "taken, and an answer that is no JSON"
    CUT = "the connection is reset within the answer"
    MISSING = "404"
    STOPPED = "21610"
    BAD_NUMBER = "21211"


@dataclass(eq=False)
class Denial(Exception):
    """Twilio's own refusals: a status, a code and a message."""

    status: int
    code: int
    message: str

    def body(self) -> dict[str, object]:
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        return {"code": self.code, "message": self.message, "more_info": more, "status": self.status}


DENIALS = {
    Fault.INTERNAL: Denial(500, 20500, "Internal Server Error"),
    Fault.TAKEN_500: Denial(500, 20500, "Internal Server Error"),
    Fault.BUSY: Denial(429, 20429, "Too Many Requests"),
    Fault.UNAVAILABLE: Denial(503, 20503, "Service Unavailable"),
    Fault.MISSING: Denial(404, 20404, "The requested resource was not found"),
    Fault.STOPPED: Denial(400, 21610, "Attempt to send to unsubscribed recipient"),
    Fault.BAD_NUMBER: Denial(400, 21211, "Invalid 'To' Phone Number"),
}
TAKEN = {Fault.HANG, Fault.LOST, Fault.TAKEN_500, Fault.TAKEN_503, Fault.NO_JSON}
