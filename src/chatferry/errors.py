"""Every exception, grouped by what its receiver does next, which each class says.

What concerns a single record is no exception but a `records.Problem`.
"""


class ChatferryError(Exception):
    """The text is meant for people: where, why, and what to do."""


class RequestError(ChatferryError):
    """A request that cannot be served as it is: fix it and send it again.

    `reason` and `code` are rendered as Rocket.Chat renders its own errors: `reason [code]`. `details` is
    what the answer says beside them, as JSON has it. `hint` says what to do if the reason, which is
    Rocket.Chat's, does not.
    """

    def __init__(  # each is a part of the answer
        self,
        reason: str = "",
        *,
        code: str = "",
        details: object = "",
        status: int = 400,
        type_: str = "",
        hint: str = "",
    ) -> None:
        self.reason = reason
        self.code = code
        self.details = details
        self.status = status
        self.type = type_ or code
        self.hint = hint
        super().__init__(f"{reason} [{code}]".strip() if code else reason)


class ArchiveError(ChatferryError):
    """An archive that cannot be read or must not be trusted: get another one. The text names the entry."""


class EmptyArchiveError(ArchiveError):
    """An archive of which no record can be read; the problems say why."""


class SettingsError(ChatferryError):
    """A setting, option or environment that cannot work: fix it."""


class DestinationError(ChatferryError):
    """The destination or the store, its server, bucket or disk, is away: try again later. Nothing is lost."""


class NoRoomError(DestinationError):
    """A disk is full, that of the destination, of the store, or of uploads: make room, then try again."""


class DownloadError(ChatferryError):
    """Bytes that could not be fetched: fetch them again later, unless `is_final`. No attribute holds secrets.

    reason, remedy  why, and what to do, as two sentences without full stops
    url             the address as it may be shown; "" until it is known which request failed
    is_final        the same request cannot succeed later either
    wait            seconds for which the host asks to be left alone
    is_stale        the bytes that came earlier do not belong to what the host has now
    status          the host's answer, if the answer is what is wrong
    is_refused      chatferry itself does not ask there
    """

    def __init__(  # noqa: PLR0913  # each is a fact that a caller decides by
        self,
        reason: str,
        remedy: str,
        *,
        url: str = "",
        is_final: bool = False,
        wait: float = 0,
        is_stale: bool = False,
        status: int = 0,
        is_refused: bool = False,
    ) -> None:
        self.reason = reason
        self.remedy = remedy
        self.url = url
        self.is_final = is_final
        self.wait = wait
        self.is_stale = is_stale
        self.status = status
        self.is_refused = is_refused
        super().__init__(reason, remedy)

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}. {self.remedy}." if self.url else f"{self.reason}. {self.remedy}."


class CancelledError(ChatferryError):
    """The operation was cancelled while it was being worked on: nothing is to be done."""


class ProcessError(ChatferryError):
    """Other processes, here or on a cluster, that cannot be had or were ended before their work was.

    Import again, with fewer processes, more memory, or a cluster that is there.
    """


class OriginError(ChatferryError):
    """It cannot be told which workspace an archive comes from, or a name cannot be an origin's: say which."""


class RunningError(ChatferryError):
    """Another operation is running: wait until it has ended, or say that it may be replaced."""

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id
        super().__init__(f"Operation {operation_id} is running. Wait until it has ended.")


class OperationError(ChatferryError):
    """An operation that cannot take a command: choose another one, or wait until it can.

    status  where it stands; "" if there is none, or it is not valid any more
    why     why the command is not possible there
    """

    def __init__(self, text: str, status: str = "", why: str = "") -> None:
        self.status = status
        self.why = why
        super().__init__(text)
