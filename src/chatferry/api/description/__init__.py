"""The API as OpenAPI and as a page, made of the table of routes."""
