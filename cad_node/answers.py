"""Where a radiologist's answer meets the result that it speaks of.

An object that came back is in its own inbox before this sees it; what it names is
looked for among the stored results, and the journal notes what was said of which
lesion, by which model. An answer that names nothing of ours is noted, too, and has
no effect. Nothing here analyses anything.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cad_node.domain import Answer, LesionClass, StoredInstance, Verdict
from cad_node.errors import CadNodeError, JobError
from cad_node.logs import study_context
from cad_node.read.answer import read_answer
from cad_node.settings import AnswerSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import AnswerRecord, AnswerWay

logger = logging.getLogger(__name__)

ANSWERS_FOLDER = "answers"
_GRAVEST = (LesionClass.MALIGNANT.value, "uncertain", LesionClass.BENIGN.value, LesionClass.NORMAL.value)


@dataclass(frozen=True)
class AnsweredResult:
    """One stored result, as far as an answer can speak of it.

    `lesions` are the rows of `result.json`, the most suspicious first; `images`
    are the images that an object is made of, by its SOP Instance UID.
    """

    study_instance_uid: str
    revision: str
    model: str
    lesions: tuple[Mapping[str, str], ...]
    images: Mapping[str, frozenset[str]]

    def lesion(self, number: int) -> str:
        """A lesion in words: its number here, and what the page calls it."""
        row = self.lesions[number - 1]
        return f"{number} ({row.get('name', '')}: {row['class']})"


@dataclass(frozen=True)
class _Said:
    """One verdict: of the lesion of that number, or of the whole result (0)."""

    number: int
    verdict: Verdict
    corrected: str = ""


class AnswerDesk:
    """Takes answers from both doors, the port and the command line.

    Parameters
    ----------
    folder
        Root of the answers' own inbox.
    """

    def __init__(
        self, journal: Journal, results: ResultStore, settings: AnswerSettings, folder: Path
    ) -> None:
        self._journal = journal
        self._results = results
        self._settings = settings
        self._folder = folder

    def record(self, stored: StoredInstance) -> bool:
        """Note an answer that lies safely in its inbox.

        Returns
        -------
        bool
            False for one that is known: nothing changes.
        """
        with study_context(stored.study_instance_uid):
            answer = self._read(stored)
            result = self._find(answer, stored)
            said = list(_meant(answer, result)) if result else [_Said(0, answer.verdict)]
            new = self._note(
                said,
                result,
                sop_instance_uid=stored.sop_instance_uid,
                study_instance_uid=stored.study_instance_uid,
                title=answer.title,
                way=AnswerWay.CSTORE,
                calling_ae_title=stored.calling_ae_title[:16],
                path=str(stored.path),
                received_at=stored.received_at.timestamp(),
            )
            if new and result is None:
                logger.warning("an answer names no result of this node; it is kept and has no effect")
            elif new:
                logger.info("answer noted: %s", ", ".join(sorted({one.verdict.value for one in said})))
        return new

    def record_command(
        self,
        study_instance_uid: str,
        verdict: Verdict,
        *,
        lesion: int | None = None,
        corrected: LesionClass | None = None,
    ) -> AnsweredResult:
        """Note what is said at the command line of a study's newest result; returns that result.

        Parameters
        ----------
        lesion
            Its place on the page, from 1; None: of the whole result.
        corrected
            The right class, with a correction.

        Raises
        ------
        JobError
            There is no such result or lesion, or a correction names no class.
        """
        result = self._newest(study_instance_uid)
        count = len(result.lesions)
        if lesion is not None and not 1 <= lesion <= count:
            listed = "; ".join(result.lesion(number) for number in range(1, count + 1))
            raise JobError(
                f"The newest result of the study has no lesion {lesion}.",
                f"It has: {listed}." if listed else "It has none: leave --lesion out.",
                study_instance_uid=study_instance_uid,
            )
        if (verdict is Verdict.CORRECT) != (corrected is not None) or (corrected and lesion is None):
            raise JobError(
                "A correction gives one lesion another class, and nothing else does.",
                "For example: --lesion 1 --verdict correct --class benign.",
                study_instance_uid=study_instance_uid,
            )
        said = (
            [_Said(lesion, verdict, corrected.value if corrected else "")]
            if lesion is not None
            else [_Said(number, verdict) for number in range(count + 1)]
        )
        self._note(
            said,
            result,
            # PS3.5 B.2: an answer without an object has a UID all the same.
            sop_instance_uid=f"2.25.{uuid.uuid4().int}",
            study_instance_uid=study_instance_uid,
            title="",
            way=AnswerWay.COMMAND,
            calling_ae_title="",
            path="",
            received_at=datetime.now(UTC).timestamp(),
        )
        return result

    def _note(
        self, said: list[_Said], result: AnsweredResult | None, *, study_instance_uid: str, **common: Any
    ) -> bool:
        lesions = result.lesions if result else ()
        return self._journal.answers.record(
            [
                AnswerRecord(
                    number=one.number,
                    study_instance_uid=result.study_instance_uid if result else study_instance_uid,
                    revision=result.revision if result else "",
                    verdict=one.verdict,
                    named=lesions[one.number - 1]["class"] if one.number else _gravest(lesions),
                    corrected=one.corrected,
                    lesions=len(lesions),
                    tracking_uid=lesions[one.number - 1]["tracking_uid"] if one.number else "",
                    model=result.model if result else "",
                    **common,
                )
                for one in said
            ]
        )

    def _read(self, stored: StoredInstance) -> Answer:
        counted = self._settings.calling_ae_titles
        if counted and stored.calling_ae_title not in counted:
            logger.warning("an answer came from an AE title whose answers do not count")
            return Answer(Verdict.UNCLEAR)
        try:
            return read_answer(self._folder / stored.path, self._settings)
        except (CadNodeError, OSError) as error:
            logger.warning("an answer cannot be used: %s", type(error).__name__)
            return Answer(Verdict.UNCLEAR)

    def _find(self, answer: Answer, stored: StoredInstance) -> AnsweredResult | None:
        """The newest result that the answer names an object of; not one that the object is itself part of."""
        for study in answer.study_instance_uids:
            for revision, folder in self._results.stored(study):
                result = _answered(study, revision, folder)
                if result is None or stored.sop_instance_uid in result.images:
                    continue
                if answer.references & result.images.keys():
                    return result
        return None

    def _newest(self, study_instance_uid: str) -> AnsweredResult:
        for revision, folder in self._results.stored(study_instance_uid):
            result = _answered(study_instance_uid, revision, folder)
            if result is not None:
                return result
        raise JobError(
            "There is no result of this study that can be answered.",
            "See: cad-node jobs list.",
            study_instance_uid=study_instance_uid,
        )


def _answered(study_instance_uid: str, revision: str, folder: Path) -> AnsweredResult | None:
    """What `result.json` says; None where an older version of the node wrote it, or it is damaged."""
    try:
        content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        made_by = content["provenance"]
        return AnsweredResult(
            study_instance_uid,
            revision,
            f"{made_by['model_name']} {made_by['model_version']}"[:160],
            tuple(content["lesions"]),
            {uid: frozenset(images) for uid, images in content["images"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _meant(answer: Answer, result: AnsweredResult) -> Iterator[_Said]:
    """What an answer says of a result and of its lesions."""
    if answer.verdict is Verdict.UNCLEAR:
        yield _Said(0, Verdict.UNCLEAR)
        return
    if answer.lesions is not None:
        yield from _repeated(answer.lesions, result)
        return
    named = [result.images[uid] for uid in answer.references if uid in result.images]
    # An object without an image of its own is a report: it speaks of everything.
    whole = any(not images for images in named)
    images = frozenset[str]().union(*named)
    numbers = [
        number for number, row in enumerate(result.lesions, start=1) if whole or row["image"] in images
    ]
    if whole or len(numbers) == len(result.lesions) > 0:
        yield _Said(0, answer.verdict)
    elif not numbers:
        # A picture without a lesion: a no is a no, a yes is no yes to what stands elsewhere.
        yield _Said(0, answer.verdict if answer.verdict is Verdict.REJECT else Verdict.UNCLEAR)
    for number in numbers:
        yield _Said(number, answer.verdict)


def _repeated(kept: Mapping[str, LesionClass | None], result: AnsweredResult) -> Iterator[_Said]:
    """What a verified report says: lesions that it repeats are right, or corrected; others are none."""
    said = []
    for number, row in enumerate(result.lesions, start=1):
        tracking = row["tracking_uid"]
        if tracking not in kept:
            said.append(_Said(number, Verdict.REJECT))
        elif (given := kept[tracking]) is not None and given.value != row["class"]:
            said.append(_Said(number, Verdict.CORRECT, given.value))
        else:
            said.append(_Said(number, Verdict.ACCEPT))
    accepted = all(one.verdict is Verdict.ACCEPT for one in said)
    yield _Said(0, Verdict.ACCEPT if accepted else Verdict.CORRECT)
    yield from said


def _gravest(lesions: tuple[Mapping[str, str], ...]) -> str:
    named = {row["class"] for row in lesions}
    return next((name for name in _GRAVEST if name in named), LesionClass.NORMAL.value)
