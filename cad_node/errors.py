"""The one exception tree.

CadNodeError
  SettingsError
  ReceiveError
    UnreadableDatasetError
    UnsupportedObjectError
    MismatchedObjectError
    InboxFullError
  StudyError
    NoUsableFramesError
    SeveralPatientsError
    SourceGoneError
    UncalibratedImageError
    PixelDecodeError
  CleaningError
  ModelError
    ModelNotFoundError
    ModelChecksumError
  EncodeError
  TemplateError
  JobError
    GaveWayError
  DeliveryError
    DestinationUnreachableError
    DestinationRefusedError

Errors do not know the doors: `receive/status.py` turns them into DIMSE
statuses, `cli/exit_codes.py` into exit codes.
"""

from __future__ import annotations


class CadNodeError(Exception):
    """Anything the node reports: what is wrong, and the next step.

    Parameters
    ----------
    problem
        What is wrong and where, in one sentence. Never holds patient data.
    hint
        What the reader can do about it.
    study_instance_uid
        The study it happened to, where one is known.
    """

    def __init__(self, problem: str, hint: str = "", *, study_instance_uid: str = "") -> None:
        self.problem = problem
        self.hint = hint
        self.study_instance_uid = study_instance_uid
        super().__init__(f"{problem} {hint}".strip())

    def __reduce__(self) -> tuple[object, ...]:
        """Keep problem, hint and study apart when an error crosses processes."""
        return _rebuild, (type(self), self.problem, self.hint, self.study_instance_uid)


def _rebuild(kind: type[CadNodeError], problem: str, hint: str, uid: str) -> CadNodeError:
    return kind(problem, hint, study_instance_uid=uid)


class SettingsError(CadNodeError):
    """The operator's settings are wrong; nothing was started."""


class ReceiveError(CadNodeError):
    """An instance could not be accepted; the sender is told by a DIMSE status."""


class UnreadableDatasetError(ReceiveError):
    """The data set cannot be parsed or lacks an identifier it must have."""


class UnsupportedObjectError(ReceiveError):
    """The SOP Class is not one that this node takes."""


class MismatchedObjectError(ReceiveError):
    """The data set contradicts the C-STORE request that announced it."""


class InboxFullError(ReceiveError):
    """The spool has no room; the sender should try again later."""


class StudyError(CadNodeError):
    """A study or image that cannot be used; the next one goes on."""


class NoUsableFramesError(StudyError):
    """The study holds nothing that could be read at all."""


class SeveralPatientsError(StudyError):
    """The images of a study name different patients: no report can speak of one alone."""


class SourceGoneError(StudyError):
    """Files of the study are no longer in the inbox; a result without them would be half of one."""


class UncalibratedImageError(StudyError):
    """No tissue region is calibrated: the image can be segmented, not measured in mm."""


class PixelDecodeError(StudyError):
    """Pixel Data could not be decoded."""


class CleaningError(CadNodeError):
    """Annotations could not be found or removed; no cleaned frame leaves."""


class ModelError(CadNodeError):
    """A model folder cannot be used."""


class ModelNotFoundError(ModelError):
    """No model folder of that name, or a file in it is missing."""


class ModelChecksumError(ModelError):
    """The model is not the one its metadata describes."""


class EncodeError(CadNodeError):
    """A result object could not be made: our fault."""


class TemplateError(CadNodeError):
    """A file in the templates folder is wrong: names the file and the line."""


class JobError(CadNodeError):
    """The job store cannot be used, or the job asked for does not exist."""


class GaveWayError(JobError):
    """Nobody's fault: a study that came in needed the worker, and the old one is taken up again."""


class DeliveryError(CadNodeError):
    """A destination did not take a result."""


class DestinationUnreachableError(DeliveryError):
    """A failure for now: worth trying again."""


class DestinationRefusedError(DeliveryError):
    """A refusal for ever: sending the same object again would not help."""
