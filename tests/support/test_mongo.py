"""The MongoDB that tests use is a real one, and takes being killed."""

from pathlib import Path

from tests.support.mongo import Mongod


def test_written_documents_outlive_a_kill(tmp_path: Path) -> None:
    server = Mongod(tmp_path)
    server.start()
    with server.client(w="majority") as client:
        client.somewhere.things.insert_one({"_id": "kept"})
    server.kill()
    server.start()
    with server.client() as client:
        assert list(client.somewhere.things.find()) == [{"_id": "kept"}]
    server.stop()
