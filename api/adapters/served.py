"""What workers serve -> models as other systems list them: every loaded version with its labels and frame."""

from __future__ import annotations

from api.state import State
from shared.reports import Description
from shared.views import descriptions


async def served(state: State) -> list[Description]:
    """Every loaded version of every model, by name and then oldest first. Raises StoreUnavailable."""
    known = await state.known_models()
    references = [f"{offer.name}@{version}" for offer in known.values() for version in offer.versions]
    found = await state.store.run(descriptions(references))
    return [found[reference] for reference in references if reference in found]


async def default_versions(state: State) -> list[Description]:
    """The version of each model that answers where none is asked for, the default model first. Raises as `served`."""
    known, first = await state.known_models(), state.settings.default_model
    versions = [one for one in await served(state) if known[one.name].default == one.version]
    return sorted(versions, key=lambda one: one.name != first)
