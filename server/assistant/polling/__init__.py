"""One poller for all that runs at a provider and is asked after: background responses, and runs on a thread.

poller.py       asks until the run is over
pacing.py       how long to wait between looks: growing, or as the assistant's last runs suggest
durations.py    how long the last runs took, and whether they still tell
hazard.py       from durations to the times at which a look is worth its price
bucket.py       one allowance for the looks of the whole process
hints.py        what the provider's headers ask for
clock.py        time, as a thing that a test can bring along
"""
