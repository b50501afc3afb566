"""The form of a plugin's ``args`` in a KubeSchedulerConfiguration, shared by the shipped plugins."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class PluginArgs(BaseModel):
    """camelCase keys as everywhere in the file, snake_case attributes; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
