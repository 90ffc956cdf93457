-- The destination that the store belongs to: one row, once a destination has been opened with this store.
CREATE TABLE binding (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    id          TEXT NOT NULL,           -- `Destination.unique_id`
    url         TEXT NOT NULL,           -- without secrets; '' for the workspace in the data directory
    is_whole    INTEGER NOT NULL         -- whether the URL had no secrets, so that it can be opened
);
