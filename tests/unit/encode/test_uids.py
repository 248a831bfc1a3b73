from __future__ import annotations

import re

from pydicom.uid import UID

from cad_node.encode import uids
from tests.results import provenance


def test_a_derived_uid_is_valid_and_repeatable() -> None:
    uid = uids.derive_uid("seg", "1.2.3")
    assert UID(uid).is_valid
    assert re.fullmatch(r"2\.25\.\d{1,39}", uid)
    assert uid == uids.derive_uid("seg", "1.2.3")


def test_the_border_between_parts_counts() -> None:
    assert uids.derive_uid("1.2", "3") != uids.derive_uid("1.23")
    assert uids.derive_uid("1.2", "3") != uids.derive_uid("1.", "23")


def test_model_settings_and_software_change_the_uid_of_a_seg() -> None:
    plain = uids.seg_uid("1.2.3", provenance(), "wording")
    assert plain == uids.seg_uid("1.2.3", provenance(), "wording")
    changed = {
        uids.seg_uid("1.2.3", provenance(model_sha256="ff" * 32), "wording"),
        uids.seg_uid("1.2.3", provenance(settings_digest="ff" * 32), "wording"),
        uids.seg_uid("1.2.3", provenance(software_version="9"), "wording"),
        uids.seg_uid("1.2.3", provenance(), "other wording"),
        uids.seg_uid("1.2.4", provenance(), "wording"),
        uids.seg_series_uid("1.2.3", provenance(), "wording"),
    }
    assert plain not in changed
    assert len(changed) == 6


def test_the_order_of_images_does_not_change_the_uid_of_a_report() -> None:
    assert uids.sr_uid(["1", "2"], provenance(), "w") == uids.sr_uid(["2", "1"], provenance(), "w")
    assert uids.sr_uid(["1", "2"], provenance(), "w") != uids.sr_uid(["1"], provenance(), "w")


def test_a_lesion_keeps_its_tracking_uid_under_another_model() -> None:
    assert uids.tracking_uid("1.2.3", 1) == uids.tracking_uid("1.2.3", 1)
    assert uids.tracking_uid("1.2.3", 1) != uids.tracking_uid("1.2.3", 2)
