#!/bin/sh
# Gets other frontends of ComfyUI into frontends/VERSION of the virtual environment in $1; each needs a few seconds.
# Their tests are skipped where one cannot be had, so that is not a failure.
set -eu
venv=$1
shift
for version in "$@"; do
    folder=$venv/frontends/$version
    [ -f "$folder/comfyui_frontend_package/static/index.html" ] && continue
    # Complete or not there: a broken download leaves no folder with that name.
    rm -rf "$folder" "$folder.part"
    if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --retries 1 --timeout 15 \
        --target "$folder.part" "comfyui-frontend-package==$version"; then
        mv "$folder.part" "$folder"
    else
        rm -rf "$folder.part"
        echo "frontend $version was not downloaded: its tests are skipped" >&2
    fi
done
