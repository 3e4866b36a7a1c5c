#!/usr/bin/env bash
# Builds the compiled modules for 32 bits, in a Debian of their own, and tests them there, and what stands on them. There
# are no wheels for 32 bits: this only shows that nothing in the code needs 64. Needs root, debootstrap and Debian's
# archive; some 1.5 GB in the folder given (default: one that is removed again) and ten minutes on an idle machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=${1:-$(mktemp -d)}
shared=${MILLSTREAM_SHARED:-$PWD/../shared}

finish() {
    for place in proc dev shared; do mountpoint -q "$root/$place" && umount "$root/$place"; done
    if [ -z "${1:-}" ]; then rm -rf --one-file-system "$root"; fi
}
trap 'finish "${1:-}"' EXIT

# Debian has no 32-bit build of pip's kind for these; PyPI has no wheels.
packages=ca-certificates,gcc,libc6-dev,python3-dev,python3-httptools,python3-msgspec,python3-orjson,python3-pip
packages+=,python3-pydantic,python3-uvloop,python3-venv
[ -e "$root/usr/bin/python3" ] || debootstrap --arch=i386 --variant=minbase --include="$packages" sid "$root"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/millstream" "$root/shared"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
[ ! -d "$shared" ] || { mount --bind "$shared" "$root/shared" && mount -o remount,ro,bind "$root/shared"; }
rm -rf "$root/millstream" && mkdir "$root/millstream"
tar -c --exclude='*.so' --exclude=__pycache__ --exclude=node_modules --exclude=build csrc pyproject.toml setup.py README.md \
    MANIFEST.in LICENSE src scripts tests bench docs | tar -x -C "$root/millstream"

# What needs a provider's SDK is left out; `core` in pyproject.toml says what the others need.
chroot "$root" linux32 bash -euo pipefail <<'INSIDE'
unset PIP_FIND_LINKS
[ -e /venv ] || python3 -m venv --system-site-packages /venv
cd /millstream
/venv/bin/python -m pip install -q --group build --group core --no-warn-script-location 'anyio>=4.6' httpx2 jsonschema rich uvicorn
/venv/bin/python -m pip install -q --no-build-isolation .
rm -rf src build
[ ! -e /shared/corpus ] || export MILLSTREAM_SHARED=/shared
/venv/bin/python -c 'import sys, millstream.core._json as at; assert sys.maxsize < 2**32; print(sys.version, at.__file__)'
/venv/bin/python -m pytest -q -p no:cacheprovider @tests/core.txt tests/protocols tests/memory tests/threads \
    --ignore tests/protocols/requests --ignore tests/protocols/encoders/test_openai_responses.py \
    --ignore tests/protocols/encoders/test_sdk_clients.py
INSIDE
