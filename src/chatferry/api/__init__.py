"""The HTTP edge: app.py makes the server, endpoints.py lists what it serves, wire.py words it."""
