"""The description of the API, as OpenAPI and as a page, made from the table of routes."""
