"""Files in an S3 bucket, fetched by people from there, by presigned URLs."""

from __future__ import annotations

from server.backends.s3.files import S3Files, open_s3

__all__ = ["S3Files", "open_s3"]
