"""Processors that workers can load without a model; named by module, since they cross processes."""

from __future__ import annotations

import os
import signal
import time

from cad_node.errors import ModelNotFoundError, NoUsableFramesError
from cad_node.giving_way import give_way_point
from cad_node.process import StudyTask
from cad_node.result_files import StudySummary
from cad_node.settings import NodeSettings


class Obedient:
    """Does what the name of the output folder says."""

    def process(self, task: StudyTask) -> StudySummary:
        match task.output.name:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "refuse":
                raise NoUsableFramesError("Nothing to see.", "Send it again.")
            case "patient":
                while True:
                    give_way_point()
                    time.sleep(0.01)
            case "polite":
                give_way_point()
            case "stumble":
                raise KeyError("DOE^JANE")
        return StudySummary(task.output.name, (), (), {"read": float(os.getpid())})


def load_obedient(_: NodeSettings) -> Obedient:
    return Obedient()


def load_nothing(_: NodeSettings) -> Obedient:
    raise ModelNotFoundError("No model.", "Restore it.")


def load_and_die(_: NodeSettings) -> Obedient:
    os.kill(os.getpid(), signal.SIGKILL)
    return Obedient()
