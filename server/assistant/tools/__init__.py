"""What the model may have done: one file per tool.

To add one:

1. Write an async function in a file of its own here, under `@tool()`. Its docstring tells the model what it does and
   when to use it, the types of its parameters what it may say. `caller: Caller` is who it is done for, `Given[...]`
   what the server gives it; neither is the model's to say. Raise `BadInput` for what the model can mend.
2. Put it into `EVERYWHERE` in `server/wiring/tools.py`.
3. Name it among the `tools` of an assistant's definition.
"""
