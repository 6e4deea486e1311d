"""Random sequences of what programs do with a context, compared with a dictionary; no file is ever lost or left."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from unit.context.conftest import files_of
from unit.context.test_storage import opened

from discomfort.context import receipts
from discomfort.context.capacity import MemoryRoom
from discomfort.context.codecs import encode
from discomfort.context.records import Record
from discomfort.context.run_view import RunView
from discomfort.context.storage import Storage

IDS = st.sampled_from("abcd")
SIZES = st.sampled_from([0, 10, 70_000])
LIMIT = 500_000


class ContextMachine(RuleBasedStateMachine):
    """One storage, a second process that has it open, and runs with views of it."""

    views = Bundle("views")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        (root / "memory").mkdir()
        room = MemoryRoom(LIMIT, root / "memory", lambda: 1 << 40, lambda: 1 << 40)
        self.storage = Storage.create(root / "disk", "run", room)
        self.storage._index._receipts._compact_at = 3000
        self.compact_from, receipts._COMPACT_FROM = receipts._COMPACT_FROM, 3000
        self.other = opened(self.storage)
        self.values: dict[str, int] = {}
        self.counter = 0
        self.open_views: dict[int, tuple[dict[str, int], dict[str, int]]] = {}

    def value(self, size: int) -> tuple[int, Any]:
        """A value that no other is equal to, and the number in it."""
        self.counter += 1
        return self.counter, np.full(
            size, self.counter, np.uint8 if size < 100 else np.uint32
        ) if size else self.counter

    @rule(unique_id=IDS, size=SIZES, use_ram=st.booleans(), by_other=st.booleans())
    def save(self, unique_id: str, size: int, use_ram: bool, by_other: bool) -> None:
        """In either process."""
        number, value = self.value(size)
        storage = self.other if by_other else self.storage
        storage.commit({unique_id: storage.write(encode(value), use_ram=use_ram)})
        self.values[unique_id] = number

    @rule(unique_id=IDS, by_other=st.booleans())
    def delete(self, unique_id: str, by_other: bool) -> None:
        """What may not be there."""
        found = (self.other if by_other else self.storage).delete(unique_id)
        assert (found is not None) == (self.values.pop(unique_id, None) is not None)

    @rule(target=views)
    def begin(self) -> RunView:
        """A run begins."""
        view = RunView(self.storage)
        self.open_views[id(view)] = dict(self.values), {}
        return view

    @rule(view=views, unique_id=IDS, size=SIZES, use_ram=st.booleans())
    def write(self, view: RunView, unique_id: str, size: int, use_ram: bool) -> None:
        """An output of a run."""
        if id(view) not in self.open_views:
            return
        number, value = self.value(size)
        view.save(unique_id, value, use_ram=use_ram)
        self.open_views[id(view)][1][unique_id] = number

    @rule(view=consumes(views), is_success=st.booleans())
    def end(self, view: RunView, is_success: bool) -> None:
        """A run ends; its results can be read, whatever others saved."""
        snapshot, written = self.open_views.pop(id(view))
        for unique_id, number in snapshot.items():
            assert number_in(view.load(unique_id)) == number
        if is_success:
            records = view.commit()
            assert {key: number_in(view.value_of(record)) for key, record in records.items()} == written
            self.values |= written
        view.discard()

    @invariant()
    def both_processes_agree(self) -> None:
        """Every value is the last one that was saved."""
        for storage in (self.storage, self.other):
            assert storage.records().keys() == self.values.keys()
        assert {key: number_in(self.other.load(key)) for key in self.values} == self.values
        assert self.storage.usage() == self.other.usage()
        # Each process keeps to the limit; neither knows what the other is just writing.
        assert self.storage.usage()[0] <= 2 * LIMIT

    @invariant()
    def no_file_is_left(self) -> None:
        """Without a run, exactly the files of the records are there."""
        if not self.open_views:
            records: list[Record] = list(self.storage.records().values())
            assert len(files_of(Path(self.folder.name))) == sum(record.file is not None for record in records)
            assert self.storage._without_id == {}

    def teardown(self) -> None:
        """Nothing at all is left."""
        receipts._COMPACT_FROM = self.compact_from
        self.other.close()
        self.storage.close()
        assert [path.name for path in Path(self.folder.name).rglob("*")] == ["memory"]
        self.folder.cleanup()


def number_in(value: Any) -> int:
    """The number that a value is made of."""
    return int(value) if isinstance(value, int) else int(value[-1])


TestContextMachine = ContextMachine.TestCase
TestContextMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
