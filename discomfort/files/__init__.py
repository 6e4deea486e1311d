"""Files that go into a server's folders, and the journal of those that must not stay there."""

from __future__ import annotations

from discomfort.files.journal import Journal
from discomfort.files.journal_entries import JournalEntry
from discomfort.files.store import FileStore

__all__ = ["FileStore", "Journal", "JournalEntry"]
