"""`make bench`: where the time goes, and ratios against peers measured in the same run."""

from __future__ import annotations

import shutil

from benchmarks import encode, networks, receive, stages


def main() -> None:
    """Run one benchmark after the other."""
    print("== Seconds a stage ==")
    stages.main()
    print("\n== Lesion networks, by encoder and size ==")
    networks.main()
    print("\n== Encoding 20 images with two lesions each ==")
    encode.main()
    print("\n== Receiving, against DCMTK's storescp ==")
    if shutil.which("storescp") is None:
        print("left out: DCMTK is not installed")
    else:
        receive.main()


if __name__ == "__main__":
    main()
