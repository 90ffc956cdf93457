"""chatferry: brings chat history into Rocket.Chat through Rocket.Chat's own import API."""

__version__ = "0.1.0"
