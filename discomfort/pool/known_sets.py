"""The models and sets of models that are known: one object for equal ones, and not more of them than are useful.

A run with a new LoRA is a set that was never seen. Sets that no run waits for are therefore forgotten, the longest
unused first, and so are models that no server holds.
"""

from __future__ import annotations

from collections import OrderedDict

from discomfort.pool.holdings import KnownModel, ModelSet
from discomfort.pool.run_requests import ModelFile

SPARE = 512
"""Sets that are kept although no run waits for them."""
MODELS = 20_000
"""Models, and sizes of models, that are kept at most, apart from those in use."""


class KnownSets:
    """All sets and models."""

    def __init__(self, unknown_size: int) -> None:
        self._unknown_size = unknown_size
        self._sets: dict[tuple[str, frozenset[ModelFile]], ModelSet] = {}
        self._spare: OrderedDict[ModelSet, None] = OrderedDict()
        self._models: dict[tuple[str, ModelFile], KnownModel] = {}
        self._sizes: OrderedDict[ModelFile, int] = OrderedDict()
        self._scopes: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    @property
    def model_count(self) -> int:
        """How many models are known."""
        return len(self._models)

    def size(self, file: ModelFile) -> int:
        """The size of a model's file, or what is assumed."""
        return self._sizes.get(file, self._unknown_size)

    def find(self, scope: str, files: frozenset[ModelFile]) -> ModelSet | None:
        """The set, if it is known."""
        return self._sets.get((scope, files))

    def use(self, scope: str, files: frozenset[ModelFile]) -> tuple[ModelSet, list[ModelSet]]:
        """The set, kept until :meth:`release`; and the sets that became known by this."""
        found = self._sets.get((scope, files))
        if found is not None:
            self._spare.pop(found, None)
            found.uses += 1
            return found, []
        models = sorted((self._model(scope, file) for file in files), key=lambda model: (model.size, model.file))
        new = ModelSet(scope, files, tuple(models), uses=1)
        self._sets[scope, files] = new
        for model in models:
            model.sets[new] = None
        if len(models) < 2:
            return new, [new]
        new.core, others = self.use(scope, frozenset([models[-1].file]))
        return new, [*others, new]

    def release(self, models: ModelSet) -> list[ModelSet]:
        """One use less. Returns the sets that are forgotten by this."""
        models.uses -= 1
        if models.uses:
            return []
        self._spare[models] = None
        gone = []
        while len(self._spare) > SPARE:
            oldest, _ = self._spare.popitem(last=False)
            gone += self._forget(oldest)
        return gone

    def _forget(self, models: ModelSet) -> list[ModelSet]:
        del self._sets[models.scope, models.files]
        for model in models.models:
            del model.sets[models]
        return [models, *(self.release(models.core) if models.core else [])]

    def _model(self, scope: str, file: ModelFile) -> KnownModel:
        found = self._models.get((scope, file))
        if found is None:
            if len(self._models) >= MODELS:
                self._forget_models()
            found = self._models[scope, file] = KnownModel(file, scope, self.size(file))
            self._scopes[scope] = None
        return found

    def _forget_models(self) -> None:
        """Drops those that nobody holds and no set names."""
        for key, model in list(self._models.items()):
            if not model.holders and not model.sets:
                del self._models[key]
        self._scopes = OrderedDict.fromkeys(scope for scope, _ in self._models)

    def learn(self, file: ModelFile, size: int) -> tuple[list[tuple[KnownModel, int]], list[ModelSet]]:
        """A model's size. Returns the models that have another one now, with the difference; and the sets that are
        forgotten, because another of their models may be the largest now."""
        if self._sizes.get(file) == size:
            return [], []
        self._sizes[file] = size
        self._sizes.move_to_end(file)
        while len(self._sizes) > MODELS:
            self._sizes.popitem(last=False)
        changed, gone = [], []
        for scope in self._scopes:
            if (model := self._models.get((scope, file))) is not None and model.size != size:
                changed.append((model, size - model.size))
                model.size = size
                gone += [found for models in list(model.sets) if models in self._spare for found in self._drop(models)]
        return changed, gone

    def _drop(self, models: ModelSet) -> list[ModelSet]:
        self._spare.pop(models, None)
        return self._forget(models)
