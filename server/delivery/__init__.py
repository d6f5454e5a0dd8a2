"""Reply events out, to wherever the person listens."""
