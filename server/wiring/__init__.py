"""The composition root: settings in, a running server out. Who opens, closes."""
