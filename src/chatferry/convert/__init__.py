"""Conversion: a record and an id map give changes. Pure: no clock, no chance, no database.

Other packages use `decide_user`, `decide_contact`, `decide_room` and `convert_message` of the modules.
"""

from chatferry.convert.decision import Decision
from chatferry.convert.id_map import IdMap, LoggedIdMap, LoggedLookups, MappedRoom, MappedUser

__all__ = ["Decision", "IdMap", "LoggedIdMap", "LoggedLookups", "MappedRoom", "MappedUser"]
