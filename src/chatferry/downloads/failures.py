"""Why a download failed, in words without secrets."""

AGAIN = "Try again later"
CHECK_ADDRESS = "Check the address"
EXPORT_AGAIN = "Export again, so that the addresses of files are valid, then import again"


class AttemptError(Exception):
    """An attempt failed: why, and what to do, as two sentences without full stops.

    `is_final`: another attempt cannot help. `wait`: the host asked to be left alone for so many seconds.
    `is_stale`: what has come so far does not belong to what the host has now. `status` is the host's answer
    if that is what is wrong. `is_refused`: chatferry itself does not ask there.
    """

    def __init__(
        self,
        why: str,
        remedy: str,
        *,
        is_final: bool = False,
        wait: float = 0,
        is_stale: bool = False,
        status: int = 0,
        is_refused: bool = False,
    ) -> None:
        self.why = why
        self.remedy = remedy
        self.is_final = is_final
        self.wait = wait
        self.is_stale = is_stale
        self.status = status
        self.is_refused = is_refused
        super().__init__(f"{why}. {remedy}.")
