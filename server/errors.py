"""What can go wrong, and what to do next.

ServerError
├── Refused               the caller's doing: nothing was changed, and asking again changes nothing
│   ├── BadInput          the input itself is wrong; the message says how to mend it
│   ├── Unauthorized      no token, or one that is not accepted
│   ├── NotFound          no such thing, or not this person's
│   └── Conflict          it contradicts what was accepted before
├── TooMany               a limit is reached: the same request is welcome later
├── Unavailable           a dependency failed in a way that may pass
├── ProviderFailed        a provider gave a final no
├── InDoubt               a provider may have done what was asked, or not: ask it before asking again
├── LeaseLost             another worker has the conversation: stop, and write nothing more
├── ConnectionGone        the socket is closed
└── ConfigError           the server refuses to start

`code` is a stable word for programs, `message` a sentence for people. `retryable` is read by the turn runner
and the courier, and shown to clients; `retry_after` is seconds, or None where nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator


class ServerError(Exception):
    """Root of the tree."""

    code = "internal"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        if code is not None:
            self.code = code


class Refused(ServerError):
    code = "refused"


class BadInput(Refused):
    code = "bad_input"


class Unauthorized(Refused):
    code = "unauthorized"


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    code = "conflict"


class TooMany(ServerError):
    code = "too_many"
    retryable = True


class Unavailable(ServerError):
    code = "unavailable"
    retryable = True


class ProviderFailed(ServerError):
    code = "provider_failed"


class InDoubt(ServerError):
    code = "in_doubt"


class LeaseLost(ServerError):
    code = "lease_lost"


class ConnectionGone(ServerError):
    code = "connection_gone"


class ConfigError(ServerError):
    code = "config"


def leaves(error: Exception) -> Iterator[Exception]:
    """Of what failed while the server was opened: each part that was open already has put a group around it."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
