"""Many requests as bytes at once: HEADERS and DATA of a run, written as a matrix.

All requests of a batch have the same bytes except the stream id and a few columns (path suffix,
extra fields, body). Where these have even lengths, a run is a matrix of octets with one row per
request, filled column by column; where they do not, requests are packed one by one.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.wire.http2 import frames
from clarion.wire.http2.batch import Batch
from clarion.wire.http2.header_tables import BlockTemplate

Octets = bytes | memoryview

_MATRIX_FROM: Final = 12
"""Requests from which on filling a matrix is cheaper than packing one by one (measured)."""
_HEAD: Final = struct.Struct(">IBI").pack


@dataclass(frozen=True, slots=True)
class Run:
    """`count` requests of a batch from `index` on consecutive streams from `stream_id`."""

    batch: Batch
    index: int
    count: int
    stream_id: int


def pack(run: Run, template: BlockTemplate) -> Octets:
    """HEADERS and DATA of every request of a run; each block and body fits one frame."""
    batch = run.batch
    even = min(batch.path_octets, batch.extra_octets, batch.body_octets) >= 0
    if even and run.count >= _MATRIX_FROM:
        return _pack_matrix(run, template)
    return _pack_each(run, template)


def _pack_matrix(run: Run, template: BlockTemplate) -> Octets:
    batch = run.batch
    stop = run.index + run.count
    head = template.head(batch.path_octets)
    block = len(head) + batch.path_octets + len(template.after) + batch.extra_octets
    body = batch.body_octets
    path_at = frames.HEADER_OCTETS + len(head)
    after_at = path_at + batch.path_octets
    extra_at = after_at + len(template.after)
    data_at = extra_at + batch.extra_octets
    body_at = data_at + frames.HEADER_OCTETS
    row = bytearray(body_at + body if body else data_at)
    flags = frames.END_HEADERS if body else frames.END_HEADERS | frames.END_STREAM
    row[: frames.HEADER_OCTETS] = _HEAD(block << 8 | frames.HEADERS, flags, 0)
    row[frames.HEADER_OCTETS : path_at] = head
    row[after_at:extra_at] = template.after
    if body:
        row[data_at:body_at] = _HEAD(body << 8 | frames.DATA, frames.END_STREAM, 0)
        if batch.bodies is None:
            row[body_at:] = batch.body
    matrix = np.empty((run.count, len(row)), np.uint8)
    matrix[:] = np.frombuffer(row, np.uint8)
    ids = np.arange(run.stream_id, run.stream_id + 2 * run.count, 2, dtype=">u4")
    id_octets = ids.view(np.uint8).reshape(run.count, 4)
    matrix[:, 5:9] = id_octets
    if batch.path_octets:
        matrix[:, path_at:after_at] = _column(batch.paths[run.index : stop], batch.path_octets)
    if batch.extra_matrix is not None:
        matrix[:, extra_at:data_at] = batch.extra_matrix[run.index : stop]
    elif batch.extra is not None and batch.extra_octets:
        matrix[:, extra_at:data_at] = _column(batch.extra[run.index : stop], batch.extra_octets)
    if body:
        matrix[:, data_at + 5 : body_at] = id_octets
        if batch.bodies is not None:
            matrix[:, body_at:] = _column(batch.bodies[run.index : stop], body)
    return matrix.reshape(-1).data  # not copied: the caller joins it with the rest


def _column(entries: list[bytes], octets: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(entries), np.uint8).reshape(len(entries), octets)


def _pack_each(run: Run, template: BlockTemplate) -> bytes:
    batch = run.batch
    stop = run.index + run.count
    nothing = [b""] * run.count
    extras = nothing if batch.extra is None else batch.extra[run.index : stop]
    bodies = [batch.body] * run.count if batch.bodies is None else batch.bodies[run.index : stop]
    heads: dict[int, bytes] = {}
    after = template.after
    out: list[bytes] = []
    stream_id = run.stream_id
    for path, extra, body in zip(batch.paths[run.index : stop], extras, bodies, strict=True):
        head = heads.get(len(path))
        if head is None:
            head = heads[len(path)] = template.head(len(path))
        block = len(head) + len(path) + len(after) + len(extra)
        if body:
            out += (
                _HEAD(block << 8 | 1, 4, stream_id), head, path, after, extra,
                _HEAD(len(body) << 8, 1, stream_id), body,
            )  # fmt: skip
        else:
            out += (_HEAD(block << 8 | 1, 5, stream_id), head, path, after, extra)
        stream_id += 2
    return b"".join(out)
