"""What is counted, for Prometheus. No label holds a person, a conversation or a text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
POLLS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One server's figures. Times are seconds from when the message was accepted."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.connections = Gauge(
            "switchboard_connections", "Open sockets, and HTTP chats that wait.", registry=self._registry
        )
        self.waiting = Gauge(
            "switchboard_waiting_conversations", "Conversations that wait for a worker.", registry=self._registry
        )
        self.sent = Counter("switchboard_sent_bytes", "Frames written to sockets.", registry=self._registry)
        self.accepted = Counter("switchboard_messages_accepted", "Messages made durable.", registry=self._registry)
        self.turns = Counter(
            "switchboard_turns", "Turns that ended.", ["finish_reason", "code"], registry=self._registry
        )
        self.failures = Counter("switchboard_run_failures", "Runs that failed.", ["code"], registry=self._registry)
        self.tool_calls = Counter("switchboard_tool_calls", "Tools used.", ["status"], registry=self._registry)
        self.polls = Histogram(
            "switchboard_polls", "Looks at a background run.", buckets=POLLS, registry=self._registry
        )
        self.poll_faults = Counter("switchboard_poll_faults", "Looks that failed.", registry=self._registry)
        self.poll_lag = Histogram(
            "switchboard_poll_lag_seconds",
            "From a background run's end until it was known, estimated.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self.dropped = Counter(
            "switchboard_dropped_readers", "Sockets cut off because they did not read.", registry=self._registry
        )
        self.messages_sent = Counter(
            "switchboard_messages_sent", "Messages sent to phones.", ["channel"], registry=self._registry
        )
        self.messages_failed = Counter(
            "switchboard_messages_failed",
            "Messages to phones that were given up.",
            ["channel", "code"],
            registry=self._registry,
        )
        self.messages_in_doubt = Counter(
            "switchboard_messages_in_doubt",
            "Times that a provider did not say whether a message was sent.",
            ["channel"],
            registry=self._registry,
        )
        self.first_words = Histogram(
            "switchboard_first_words_seconds", "Until a reply begins.", buckets=SECONDS, registry=self._registry
        )
        self.turn_seconds = Histogram(
            "switchboard_turn_seconds", "Until a reply is stored.", buckets=SECONDS, registry=self._registry
        )

        self.peer_failures = Counter(
            "switchboard_peer_failures", "Calls of other processes that failed.", registry=self._registry
        )
        self.lost_frames = Counter(
            "switchboard_lost_frames", "Frames that did not reach another process.", registry=self._registry
        )

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
