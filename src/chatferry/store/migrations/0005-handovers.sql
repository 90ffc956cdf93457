-- The operations that commands leave to the server that works in the same data directory, until it takes notice.
CREATE TABLE handovers (
    operation   TEXT PRIMARY KEY
) WITHOUT ROWID;
