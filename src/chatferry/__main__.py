"""The `chatferry` command. Processes that an import starts load this too: it is small."""


def main() -> None:
    from chatferry.cli import main as run

    run()


if __name__ == "__main__":
    main()
