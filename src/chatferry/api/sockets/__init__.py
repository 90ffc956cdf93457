"""The listening socket, limits on connections and their time, and TLS."""
