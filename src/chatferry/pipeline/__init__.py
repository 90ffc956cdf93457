"""The engine: what is done for an operation, from its archive to its end.

`operation` runs an operation to its next rest, `background` does so in a thread. `parallel` has the processes
that help, `fetching` what is downloaded. Nothing is imported here: helping processes load what they need.
"""
