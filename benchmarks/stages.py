"""Seconds a stage, an image and a study: the demo's study, in one process, several times over.

The first run is left out: it loads models and warms caches.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from cad_node.demo.study import make_demo_study
from cad_node.domain import CleanFrame, Frame, Refusal, UltrasoundImage
from cad_node.process import Processor, StudyTask, load_processor
from cad_node.settings import load_settings


class _Clock:
    """Adds up what is spent inside `analyse`, by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, step: str, since: float) -> None:
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - since

    def timed(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            since = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                self.add(step, since)

        return run


def _instrumented(processor: Processor, clock: _Clock) -> Processor:
    steps = processor.steps

    def gate(image: UltrasoundImage) -> Refusal | None:
        since = time.perf_counter()
        refusal = steps.gate(image)
        clock.add("decode and gate", since)
        return refusal

    def clean(frames: Sequence[Frame]) -> Iterator[CleanFrame]:
        cleaned = steps.clean(frames)
        while True:
            since = time.perf_counter()
            frame = next(cleaned, None)
            clock.add("clean (OCR, calipers, inpainting)", since)
            if frame is None:
                return
            yield frame

    timed = dataclasses.replace(
        steps, gate=gate, clean=clean, find_lesions=clock.timed("segment and classify", steps.find_lesions)
    )
    return dataclasses.replace(processor, steps=timed)


def main(runs: int = 3) -> None:
    """Print the table and name the slowest stage."""
    processor = load_processor(load_settings())
    datasets = make_demo_study(datetime.now(UTC))
    totals: dict[str, list[float]] = {}
    frames = 0
    with tempfile.TemporaryDirectory() as name:
        files = []
        for number, dataset in enumerate(datasets):
            files.append(Path(name) / f"{number}.dcm")
            dataset.save_as(files[-1], enforce_file_format=True)
            frames += int(dataset.get("NumberOfFrames", 1))
        for run in range(runs + 1):
            clock = _Clock()
            output = Path(name) / f"run-{run}"
            output.mkdir()
            summary = _instrumented(processor, clock).process(
                StudyTask(tuple(files), output, datetime.now(UTC))
            )
            spent = {"read headers": summary.seconds["read"], **clock.seconds}
            spent["number and measure"] = summary.seconds["analyse"] - sum(clock.seconds.values())
            spent |= {stage: summary.seconds[stage] for stage in ("encode", "write", "preview")}
            if run:
                for stage, seconds in spent.items():
                    totals.setdefault(stage, []).append(seconds)
    middle = {stage: median(values) for stage, values in totals.items()}
    whole = sum(middle.values())
    print(f"The demo's study: {len(datasets)} objects, {frames} frames, median of {runs} runs")
    print(f"{'stage':36} {'s':>8} {'share':>7}")
    for stage, seconds in middle.items():
        print(f"{stage:36} {seconds:8.3f} {seconds / whole:7.1%}")
    print(f"{'whole study':36} {whole:8.3f}")
    slowest = max(middle, key=lambda stage: middle[stage])
    print(f"Slowest: {slowest}, {middle[slowest] / whole:.0%} of the study.")


if __name__ == "__main__":
    main()
