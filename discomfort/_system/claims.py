"""Claims of this process to folders, and those who follow them, such as what removes the folders if it is killed.

A part that makes a folder and one that watches over the process need not know each other. Nothing here takes a lock: a
claim may end in a finalizer, at any moment, in any thread.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from discomfort._system.forks import in_forked_child

_log = logging.getLogger("discomfort._system.claims")


@dataclass(frozen=True, slots=True)
class FolderClaim:
    """A folder of this process, from before it is made until after it is removed.

    ``hidden`` is its path while it is made and removed. ``owner`` is the text in its file ``owner``, which no other
    folder has. ``parents`` is how many folders above it are removed with it if they are empty then.
    """

    path: Path
    hidden: Path
    owner: str
    parents: int = 0


class ClaimFollower(Protocol):
    """What is told about all claims of this process. It may be told twice, and in any thread."""

    def claimed(self, claim: FolderClaim) -> None:
        """A folder is going to be made."""

    def released(self, claim: FolderClaim) -> None:
        """A folder is gone."""


_claims: dict[FolderClaim, None] = {}
_followers: list[ClaimFollower] = []


def follow(follower: ClaimFollower) -> None:
    """Tell ``follower`` about the claims of this process: those that it has now, and later ones."""
    # Added first, so that it hears of a claim that another thread begins now.
    _followers.append(follower)
    for claim in tuple(_claims):
        _tell(follower, claim, begins=True)


def unfollow(follower: ClaimFollower) -> None:
    """Tell it nothing any more. Safe to call twice."""
    if follower in _followers:
        _followers.remove(follower)


def begin_claim(claim: FolderClaim) -> None:
    """Tell all followers of a new claim. Never raises."""
    _claims[claim] = None
    for follower in tuple(_followers):
        _tell(follower, claim, begins=True)


def end_claim(claim: FolderClaim) -> None:
    """Tell all followers that a folder is gone. Never raises; safe to call twice."""
    if claim in _claims:
        _claims.pop(claim, None)
        for follower in tuple(_followers):
            _tell(follower, claim, begins=False)


def _tell(follower: ClaimFollower, claim: FolderClaim, *, begins: bool) -> None:
    try:
        if begins:
            follower.claimed(claim)
        else:
            follower.released(claim)
    except Exception as error:  # noqa: BLE001 - the folder is of use without the follower
        _log.warning("%s is not watched; if this program is killed, a later start removes it: %s", claim.path, error)


def _after_fork_in_child() -> None:
    # The folders are the parent's, and so are those who follow.
    _claims.clear()
    _followers.clear()


in_forked_child(_after_fork_in_child)
