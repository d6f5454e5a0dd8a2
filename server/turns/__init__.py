"""One message answered. Read `runner` first."""
