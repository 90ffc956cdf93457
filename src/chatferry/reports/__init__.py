"""Reports about an operation and about an archive, as JSON. They read the store and write nothing to it."""
