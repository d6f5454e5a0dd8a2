"""What a turn, a token, an open socket and a handshake cost, beside two programs that do less; what polling costs.

    naive.py      what one writes first: Starlette, the OpenAI SDK, nothing kept
    bare.py       the floor: a provider's events in, frames out
    idle.py       sockets that are opened and left alone
    hosting.py    how naive and idle are served: on uvicorn, with our server's options

    machine.py    cores, CPU time, memory
    programs.py   processes, each pinned to its core
    talker.py     a client light enough to be forgotten
    turns.py      what is measured of turns
    doors.py      what is measured of sockets that open, wait and are spoken into
    webhooks.py   what is measured of texts that are delivered
    rounds.py     the order of it, and how much of everything
    polls.py      what is simulated of polling, and its table
    oracle.py     the best that a poller could do
    cluster.py    two processes against one, and full stores against empty ones
    calls.py      what is asked of DynamoDB and SQS
    yard.py       servers that share a store
    stores.py     what stores are filled with
    rows.py       its bars, and its table

    ledger.py     the values, and the ratios of each round
    table.py      the bars, and what is printed

Polling is simulated. All else is measured in rounds that go from program to program, because the machine is never
quiet: quote ratios only.
"""
