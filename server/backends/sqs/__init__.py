"""The bell of many processes: an SQS FIFO queue. A message is a conversation's id, and so is its group."""

from __future__ import annotations

from server.backends.sqs.bell import SqsBell, open_sqs_bell

__all__ = ["SqsBell", "open_sqs_bell"]
