"""The cluster's resources.

template.yaml   what they are
deploy          makes them
emulator        AWS on this machine
rights          what a server may do there
people          who may talk there
run             the server on it
"""
