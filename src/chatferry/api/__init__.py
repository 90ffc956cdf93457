"""The HTTP API: `create_app` makes the server, routes.py lists the endpoints, wire.py translates JSON."""
