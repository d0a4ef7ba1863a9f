#!/usr/bin/env bash
# Make or reuse a virtual environment with an editable mmtpr in it.
#
#   scripts/make_venv.sh FOLDER EXTRAS [REQUIREMENT...]
#   scripts/make_venv.sh .venv openmmlab,tests
#
# PYTHON       the interpreter; by default the first suitable python3 found
# PYTHON_MAX   the newest minor version of Python 3 to take (default 13)
#
# Installs again only when the requirements, setup.py or the place changed.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
export PYTHONNOUSERSITE=1

folder=$1 extras=$2
shift 2
newest=${PYTHON_MAX:-13}
python="$folder/bin/python"
stamp="$folder/.mmtpr-$(printf '%s' "$extras" | tr ',' '-')"

suits() {
  "$1" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] \
<= (3, $newest))" >/dev/null 2>&1
}

find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}
  do
    if suits "$name"; then
      echo "$name"
      return
    fi
  done
  echo "mmtpr needs Python 3.10 to 3.$newest; tried: \
${PYTHON:-python3, python3.13 ... python3.10}. Name one with \
PYTHON=/path/to/python3." >&2
  return 1
}

make_venv() {
  local base
  base=$(find_python)
  echo "Making $folder with $("$base" --version) ..."
  if "$base" -m venv --clear "$folder" 2>/dev/null; then
    return
  fi
  # Debian ships Python without ensurepip.
  if "$base" -m virtualenv --version >/dev/null 2>&1; then
    "$base" -m virtualenv --clear "$folder"
  elif command -v uv >/dev/null; then
    uv venv --clear --seed --python "$base" "$folder"
  else
    echo "$base cannot make virtual environments. On Debian and Ubuntu: \
apt-get install python3-venv; elsewhere: $base -m pip install virtualenv. \
Then run this again." >&2
    return 1
  fi
}

# OpenCV's ordinary wheel needs libGL, which bare servers do not have.
check_opencv() {
  "$python" -c 'import cv2' 2>/dev/null && return
  echo "OpenCV cannot be loaded here (no libGL?); taking its headless wheel."
  "$python" -m pip uninstall -q -y opencv-python
  "$python" -m pip install -q --force-reinstall --no-deps \
    opencv-python-headless
  "$python" -c 'import cv2'
}

state=$({ pwd; printf '%s\n' "$@"
  cat setup.py pyproject.toml mmtpr/version.py requirements/*.txt; } | cksum)
if ! "$python" -m pip --version >/dev/null 2>&1; then
  make_venv
elif [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
  exit 0
fi
echo "Installing mmtpr[$extras] into $folder (a few minutes the first time)"
"$python" -m pip install -q -e ".[$extras]" "$@"
check_opencv
"$python" -c 'import mmtpr'
printf '%s\n' "$state" >"$stamp"
