"""Write embeddings, one row per image: an .npy file with a .csv file of the image names, or one .parquet file."""

import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from chexnet.errors import InputError
from chexnet.files import atomic_write, check_writable
from chexnet.inference.prediction import Prediction

NPY, PARQUET = ".npy", ".parquet"

INSTALL = 'pip install pyarrow, or this package with its extra: pip install "paddle-chexnet[parquet]"'

ROW_GROUP = 1024
"""Rows per row group of a .parquet file, which are kept in memory: 4 MB for 1024 features."""


class EmbeddingWriter(ABC):
    """A file of embeddings that is being written, row by row.

    Attributes:
        rows: number of rows so far.
    """

    rows = 0

    def add(self, prediction: Prediction) -> None:
        """Write the row of an image, whose prediction has an embedding."""
        assert prediction.embedding is not None
        self._append(prediction.name, prediction.embedding)
        self.rows += 1

    @abstractmethod
    def _append(self, name: str, embedding: np.ndarray) -> None:
        """Write a row: the name of the image and float32 [channels]."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left, at the end of all images."""


def check_embeddings(path: str, protected: Iterable[str], others: Collection[str]) -> list[str]:
    """Check before the run that a file of embeddings can be written; return it, and its index for an .npy file.

    Args:
        path: the file.
        protected: see `check_writable`.
        others: see `check_writable`.

    Raises:
        InputError: its name has another suffix, a package is missing, or see `check_writable`.
    """
    suffix = Path(path).suffix
    if suffix not in (NPY, PARQUET):
        raise InputError(f"{path}: expected a name that ends in {NPY} or {PARQUET}")
    if suffix == PARQUET:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:  # also of a version that does not fit NumPy
            raise InputError(f"{path}: needs pyarrow ({error}): {INSTALL}; or use a name that ends in {NPY}") from error
    files = [path] if suffix == PARQUET else [path, str(index_path(path))]
    for file in files:
        check_writable(file, Path(file).suffix, protected, others)
    return files


def index_path(path: str | os.PathLike[str]) -> Path:
    """Return the index file of an .npy file: `features.npy` -> `features.csv`, with the columns `row` and `image`."""
    return Path(path).with_suffix(".csv")


def open_embeddings(path: str, metadata: Mapping[str, Any]) -> AbstractContextManager[EmbeddingWriter]:
    """Open a file of embeddings. It is complete at the end of the block, and does not exist if the block raises.

    Args:
        path: the file; its suffix chooses the format.
        metadata: what all rows have in common; a .parquet file stores it as JSON in its metadata.

    Raises:
        InputError: the file cannot be written; or, at the end of the block, there was no image.
    """
    return _open_npy(path) if Path(path).suffix == NPY else _open_parquet(path, metadata)


class _NpyWriter(EmbeddingWriter):
    """Append rows to an .npy file of format 1.0, and write the number of rows into its header at the end."""

    def __init__(self, file: IO[bytes], index: IO[str]) -> None:
        self._file, self._index = file, csv.writer(index, lineterminator="\n")
        self._index.writerow(["row", "image"])
        self._start = 0

    def _append(self, name: str, embedding: np.ndarray) -> None:
        if not self.rows:
            self._columns = len(embedding)
            self._write_header()
            self._start = self._file.tell()
        self._file.write(embedding.astype("<f4").tobytes())
        self._index.writerow([self.rows, name])

    def close(self) -> None:
        if self.rows:
            self._file.seek(0)
            self._write_header()
            if self._file.tell() != self._start:  # NumPy reserves digits for the number of rows
                raise RuntimeError("the header of the .npy file has another length at the end")

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self._columns)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def _open_npy(path: str) -> Iterator[EmbeddingWriter]:
    # Undecodable bytes in file names are escaped, as in the CSV file of predictions.
    with (
        atomic_write(index_path(path)) as temporary_index,
        atomic_write(path) as temporary,
        open(temporary_index, "w", encoding="utf-8", errors="backslashreplace", newline="") as index,
        open(temporary, "wb") as file,
    ):
        writer = _NpyWriter(file, index)
        yield writer
        writer.close()
        _check_rows(path, writer.rows)


class _ParquetWriter(EmbeddingWriter):
    """Write rows as Parquet: `image`, a string, and `embedding`, a list of fixed size of float32."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self._path, self._metadata = path, json.dumps(dict(metadata))
        self._names: list[str] = []
        self._embeddings: list[np.ndarray] = []
        self._writer: Any = None

    def _append(self, name: str, embedding: np.ndarray) -> None:
        self._embeddings.append(embedding)
        self._names.append(name.encode(errors="backslashreplace").decode())
        if len(self._names) == ROW_GROUP:
            self._flush()

    def close(self) -> None:
        if self._names:
            self._flush()
        if self._writer:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        values = pyarrow.array(np.concatenate(self._embeddings))
        lists = pyarrow.FixedSizeListArray.from_arrays(values, len(self._embeddings[0]))
        table = pyarrow.table({"image": self._names, "embedding": lists}).replace_schema_metadata(
            {"chexnet": self._metadata}
        )
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._names, self._embeddings = [], []


@contextmanager
def _open_parquet(path: str, metadata: Mapping[str, Any]) -> Iterator[EmbeddingWriter]:
    with atomic_write(path) as temporary:
        writer = _ParquetWriter(temporary, metadata)
        try:
            yield writer
        finally:
            writer.close()
        _check_rows(path, writer.rows)


def _check_rows(path: str, rows: int) -> None:
    if not rows:
        raise InputError(f"{path}: not written, because no image could be predicted")
