"""Which result objects are made, and which of them go where.

A variant is one kind of object in one form. Several destinations that want the
same form share it: it is made and stored once. What belongs to a destination is
decided here alone, from the settings, when objects are made and when they are
sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cad_node.settings import ObjectKind, ResultSettings, SegScope, SegType, SrClass, TransferSyntax

if TYPE_CHECKING:
    from cad_node.settings import CStoreDestinationSettings, FolderDestinationSettings, NodeSettings

# In this order they are made, numbered and shown. Reports come last: they speak of the others.
KINDS: tuple[ObjectKind, ...] = (
    "seg",
    "presentation_state",
    "secondary_capture",
    "pdf",
    "text_sr",
    "sr",
)
_PLAIN: TransferSyntax = "explicit-little-endian"


@dataclass(frozen=True)
class Variant:
    """One kind of object in one form; `name` is what `result.json` calls it.

    Examples
    --------
    >>> Variant.of("sr", ResultSettings(sr_class="enhanced", transfer_syntax="rle")).name
    'sr enhanced'
    >>> Variant.of("seg", ResultSettings(seg_type="labelmap", transfer_syntax="rle")).name
    'seg labelmap image rle'
    """

    kind: ObjectKind
    sr_class: SrClass | None = None
    seg_type: SegType | None = None
    seg_scope: SegScope | None = None
    transfer_syntax: TransferSyntax = _PLAIN

    @classmethod
    def of(cls, kind: ObjectKind, settings: ResultSettings) -> Variant:
        """The form that a kind has under these settings; settings of other kinds make no difference."""
        seg = kind == "seg"
        return cls(
            kind,
            sr_class=settings.sr_class if kind == "sr" else None,
            seg_type=settings.seg_type if seg else None,
            seg_scope=settings.seg_scope if seg else None,
            transfer_syntax=_transfer_syntax(kind, settings),
        )

    @property
    def choices(self) -> Mapping[str, str]:
        """What it says of its kind's settings."""
        named = {"sr_class": self.sr_class, "seg_type": self.seg_type, "seg_scope": self.seg_scope}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def name(self) -> str:
        """Kind and form in words, without the transfer syntax where it is the plain one."""
        syntax = "" if self.transfer_syntax == _PLAIN else self.transfer_syntax
        parts = (self.kind, self.sr_class, self.seg_type, self.seg_scope, syntax)
        return " ".join(part for part in parts if part)


def _transfer_syntax(kind: ObjectKind, settings: ResultSettings) -> TransferSyntax:
    """What is asked for, where the object can have it."""
    wanted = settings.transfer_syntax
    has_bytes = kind == "secondary_capture" or (kind == "seg" and settings.seg_type != "binary")
    # One bit a pixel is no sample of these codecs (PS3.5 8.2).
    return wanted if wanted == "deflated" or has_bytes else _PLAIN


def destination_variants(
    destination: CStoreDestinationSettings | FolderDestinationSettings, results: ResultSettings
) -> tuple[Variant, ...]:
    """What goes to one destination."""
    own = {
        name: value
        for name in ("sr_class", "seg_type", "transfer_syntax")
        if (value := getattr(destination, name)) is not None
    }
    settings = results.model_copy(update=own)
    return _ordered(Variant.of(kind, settings) for kind in destination.objects)


def all_variants(settings: NodeSettings) -> tuple[Variant, ...]:
    """What is made of every study: SEG and SR as `[results]` says, and what any destination wants."""
    wanted = [Variant.of(kind, settings.results) for kind in ("seg", "sr")]
    for destination in settings.destinations:
        wanted += destination_variants(destination, settings.results)
    return _ordered(wanted)


def names_of(variants: Iterable[Variant]) -> str:
    """What `result.json` calls a set of variants, in whatever order they came."""
    return "; ".join(sorted({variant.name for variant in variants}))


def default_variants(results: ResultSettings) -> tuple[Variant, ...]:
    """SEG and SR as `[results]` says."""
    return tuple(Variant.of(kind, results) for kind in ("seg", "sr"))


def _ordered(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """Each once, by kind; of one kind the first named comes first."""
    return tuple(sorted(dict.fromkeys(variants), key=lambda variant: KINDS.index(variant.kind)))
