#!/bin/sh
# Gets into the virtual environment in $1 what the tests of newer frontends need, each in a few seconds: for an argument
# VERSION that frontend of ComfyUI, as frontends/VERSION; for templates-VERSION the official templates, as
# templates/VERSION. Their tests are skipped where something cannot be had, so that is not a failure.
set -eu
venv=$1
shift

get() { # the folder, the package, its version
    folder=$venv/$1/$3
    [ -d "$folder" ] && return
    # Complete or not there: a broken download leaves no folder with that name.
    rm -rf "$folder.part"
    if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --retries 1 --timeout 15 \
        --target "$folder.part" "$2==$3"; then
        mv "$folder.part" "$folder"
    else
        rm -rf "$folder.part"
        echo "$2 $3 was not downloaded: its tests are skipped" >&2
    fi
}

for wanted in "$@"; do
    case $wanted in
    templates-*) get templates comfyui-workflow-templates-json "${wanted#templates-}" ;;
    *) get frontends comfyui-frontend-package "$wanted" ;;
    esac
done
