"""Reading and writing problems and plans."""

from mapc.instances.buffers_csv import write_csv
from mapc.instances.documents import PlanInfo, content_hash, write_instance, write_plan
from mapc.instances.reading import read, read_plan
from mapc.instances.schema import json_schema

__all__ = [
    "PlanInfo",
    "content_hash",
    "json_schema",
    "read",
    "read_plan",
    "write_csv",
    "write_instance",
    "write_plan",
]
