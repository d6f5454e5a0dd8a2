"""Switchboard: a realtime assistant backend.

The flow, and where each step lives:

    host          entrypoints/   a socket is opened, a frame arrives
    who is it     auth/          token -> Principal
    what is it    channels/      bytes -> a typed action
    the door      inbox/         accepted once, durable, then acknowledged
    the queue     backends/      the log is the queue; the bell only says that there is work
    the turn      turns/         the oldest unanswered question, leased, answered, stored
    the model     assistant/     a prompt -> words, and the tools it wants
    the way out   delivery/      events -> every socket of the person, replies -> their phone

`model/` holds the values in between, `ports/` the seams, `wiring/` puts it together.
"""
