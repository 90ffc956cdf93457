-- What commands leave to the server that works in the same data directory, until it takes notice.
CREATE TABLE handovers (
    operation   TEXT PRIMARY KEY,
    wish        TEXT NOT NULL            -- work, or stop
) WITHOUT ROWID;
