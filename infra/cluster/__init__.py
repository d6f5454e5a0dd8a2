"""The cluster's resources.

template.yaml   what they are
deploy          makes them
emulator        AWS on this machine
"""
