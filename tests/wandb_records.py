"""What an offline W&B run has on disk: a log of protocol buffers in LevelDB's format, of blocks of 32 KiB."""

import struct

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER, IDENTITY = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    """The records of a ``.wandb`` file, in order."""
    content, at, parts = path.read_bytes(), IDENTITY, []
    assert content[:4] == b":W&B"
    while at + HEADER <= len(content):
        left = BLOCK - at % BLOCK
        if left < HEADER:  # too short for a header
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + HEADER])
        parts.append(content[at + HEADER : at + HEADER + length])
        at += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def read_back(path):
    """Tags, notes, job type, artifacts, keys of the history and of the summary, and the exit code of the run."""
    found = {"artifacts": [], "history": set(), "summary": set()}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"tags": list(record.run.tags), "notes": record.run.notes, "job_type": record.run.job_type}
        elif kind == "artifact":
            found["artifacts"].append((record.artifact.type, record.artifact.name))
        elif kind == "history":
            found["history"] |= {item.key or ".".join(item.nested_key) for item in record.history.item}
        elif kind == "summary":
            found["summary"] |= {item.key or ".".join(item.nested_key) for item in record.summary.update}
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found
