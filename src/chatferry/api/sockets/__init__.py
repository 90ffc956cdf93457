"""Listening, with limits on connections and their time, and TLS."""
