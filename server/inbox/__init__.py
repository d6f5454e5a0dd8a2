"""The door: a message gets in once."""
