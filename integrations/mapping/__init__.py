"""User mappings: their field to our field, with small changes on the way. Pure."""

from integrations.mapping.columns import laid_over, record_fields
from integrations.mapping.dates import parse_time
from integrations.mapping.records import record_from_mapping
from integrations.mapping.simple import (
    compile_entity_mappings,
    spec_from_field_mappings,
    target_of,
)
from integrations.mapping.spec import (
    CompiledMapping,
    PreviewRow,
    Rule,
    apply_mapping,
    compile_mapping,
    preview,
    records_from_mapping,
)
from integrations.mapping.transforms import TRANSFORMS

__all__ = [
    "TRANSFORMS",
    "CompiledMapping",
    "PreviewRow",
    "Rule",
    "apply_mapping",
    "compile_entity_mappings",
    "compile_mapping",
    "laid_over",
    "parse_time",
    "preview",
    "record_fields",
    "record_from_mapping",
    "records_from_mapping",
    "spec_from_field_mappings",
    "target_of",
]
