"""How numbers, durations, sizes and texts of archives are shown. Pure."""


def several(number: int, noun: str) -> str:
    """Return a number with its noun: "1 file", "1,204 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_words(seconds: float) -> str:
    """Return a duration: "0.4 s", "7 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def megabytes(size: int) -> str:
    """Return a number of bytes: "3.1 MB", "2.4 GB"."""
    return f"{size / 1_000_000:,.1f} MB" if size < 1_000_000_000 else f"{size / 1_000_000_000:,.1f} GB"


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def no_formula(value: str | int) -> str | int:
    """Return a value of a CSV table that no spreadsheet takes for a formula: texts come from archives."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
