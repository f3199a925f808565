# Sourced by tools/notebook and tools/check: a virtual environment in .venv, and the system packages named by the caller.
# Works on a fresh Debian or Ubuntu, also as root in a container; does nothing that is done already.

have() { command -v "$1" >/dev/null 2>&1; }

# system_packages WHAT PACKAGE TEST ...   in threes; TEST is a command that succeeds when the package is there
system_packages() {
    missing=""
    while [ $# -ge 3 ]; do
        sh -c "$3" >/dev/null 2>&1 || { missing="$missing $2"; echo "missing here: $2 ($1)"; }
        shift 3
    done
    [ -n "$missing" ] || return 0
    as_root=""
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null && as_root="sudo"; } || as_root="no"
    if ! have apt-get || [ "$as_root" = no ]; then
        echo "not installed, for this is not root on a Debian-like system; to install:  sudo apt-get install$missing"
        return 0
    fi
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get -qq update || echo "apt-get update failed; going on with the package lists that are here"
    # shellcheck disable=SC2086
    $as_root apt-get -qq install -y --no-install-recommends $missing >/dev/null \
        || echo "apt-get could not install:$missing; what needs them says so below"
}

find_python() {
    for p in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        have "$p" && "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$p"; return 0; }
    done
    return 1
}

# environment EXTRA: makes .venv, installs this checkout with the extra, and again whenever pyproject.toml has changed
environment() {
    find_python >/dev/null || system_packages "Python 3.11 or later" python3 false
    python=$(find_python) || { echo "Python 3.11 or later was not found; set PYTHON=/path/to/python3" >&2; exit 1; }
    stamp=".venv/.installed-$1"
    if [ ! -x .venv/bin/python ]; then
        "$python" -m venv .venv 2>/dev/null || {
            rm -rf .venv
            system_packages "virtual environments for Python" python3-venv false
            "$python" -m venv .venv
        }
    fi
    if ! cmp -s pyproject.toml "$stamp"; then
        echo "installing pyv86_nb[$1] into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$1]"
        cp pyproject.toml "$stamp"
    fi
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
}
