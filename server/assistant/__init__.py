"""The engine: what a model provider is asked, and how."""
