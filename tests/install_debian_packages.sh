#!/bin/sh
# The real parts that the tests speak to. Installs what is missing when run as root.
set -eu

missing=""
need() { # command or file, package
    if ! command -v "$1" >/dev/null 2>&1 && ! [ -e "$1" ]; then missing="$missing $2"; fi
}
need Orthanc orthanc
need /usr/share/orthanc/plugins/libOrthancDicomWeb.so orthanc-dicomweb
need /usr/share/orthanc/plugins/libOrthancGdcm.so orthanc-gdcm
need dcmsend dcmtk
need dciodvfy dicom3tools
need chromium chromium
need /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing for the integration tests:$missing"
    echo "Install them (Debian: apt-get install --no-install-recommends$missing); their tests are skipped until then."
    exit 0
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  a list of package names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
