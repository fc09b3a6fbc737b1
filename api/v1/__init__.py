"""Our own API, ``/v1``, in the style of seed 002; its first four operations are that seed's (wires.py).

A request comes in by the door (door.py), which knows its key, counts it and does a POST twice only once; then
django-ninja reads the parameters and calls a function, which calls what the pages call. docs/api.md tells the rules.
"""
