"""Whatever comes from a source, a mapping answers with a record or a reject."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from churnguard.records import RECORD_TYPES
from integrations.mapping import (
    TRANSFORMS,
    compile_mapping,
    preview,
    records_from_mapping,
)
from tests.integrations.mapping.specs import spec

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-03-04", "1e99", "12", "-0", "Infinity", "１２", "٣"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PARAMS = {
    "constant": {"value": 1},
    "prefix": {"value": "p"},
    "lookup": {"table": {"a": "b"}},
    "split": {"separator": "a", "index": -2},
    "money": {"currency_source": "a"},
}


@st.composite
def mappings(draw):
    record_type = draw(st.sampled_from(sorted(RECORD_TYPES)))
    fields = sorted(set(RECORD_TYPES[record_type].__struct_fields__) - {"raw"})
    targets = draw(st.lists(st.sampled_from(fields), unique=True, max_size=4))
    rules = []
    for target in targets:
        kinds = draw(st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=3))
        chain = [{"kind": kind, **PARAMS.get(kind, {})} for kind in kinds]
        source = draw(st.sampled_from(["a", "b", "id", "a.b", "a.0", "b.-1.a"]))
        rules.append({"target": target, "source": source, "transform": chain})
    return spec(
        *rules,
        record_type=record_type,
        custom=draw(st.sampled_from([[], ["*"], ["a", "b.a"]])),
    )


@given(mapping=mappings(), raw=JSON)
def test_no_object_ever_crashes_a_mapping(mapping, raw):
    compiled = compile_mapping(mapping)

    records, rejects = records_from_mapping([raw], compiled)

    assert len(records) + len(rejects) == 1
    assert len(preview([raw], compiled)) == 1
