#!/bin/sh
# Fetch the built OHIF viewer for the browser tests, once, into .cache/ohif.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .cache/ohif
cd .cache/ohif
[ -f package/dist/index.html ] && exit 0
npm pack --silent @ohif/app@3.13.2
tar xzf ohif-app-3.13.2.tgz
rm ohif-app-3.13.2.tgz
