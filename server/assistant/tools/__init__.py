"""What the model may have done: one file per tool."""
