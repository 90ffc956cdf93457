"""What to do about a download that failed: remedies that several modules name."""

AGAIN = "Try again later"
CHECK_ADDRESS = "Check the address"
EXPORT_AGAIN = "Export again, so that the addresses of files are valid, then import again"
