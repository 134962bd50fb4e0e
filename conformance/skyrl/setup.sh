#!/usr/bin/env bash
# Builds .venv/skyrl: SkyRL's Tinker server with the JAX backend on CPU, from the Python registry.
# Safe to run again: a finished environment is left alone. PYTHON=... picks the interpreter (>= 3.11).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
here="$root/conformance/skyrl"
venv="$root/.venv/skyrl"
# The requirements decide whether the environment is still the right one.
stamp="$venv/.ready-$(cat "$here/requirements.txt" "$here/setup.sh" | sha256sum | cut -c1-12)"
[ -f "$stamp" ] && exit 0

python="${PYTHON:-}"
for candidate in python3.11 python3.12 python3.13 python3; do
  [ -n "$python" ] && break
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
  fi
done
[ -n "$python" ] || { echo "conformance/skyrl needs Python >= 3.11 (set PYTHON=/path/to/python3)" >&2; exit 1; }

echo "building $venv with $("$python" --version) (a few minutes)"
"$python" -m venv --clear "$venv" || { "$python" -m pip install --quiet --user virtualenv && "$python" -m virtualenv --clear "$venv"; }
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" -r "$here/requirements.txt"
# Without its dependencies: skyrl pins versions of transformers and peft that are not needed for the JAX backend on CPU.
"${pip[@]}" --no-deps skyrl==0.3.0

# Below Python 3.12 pydantic refuses typing.TypedDict, which skyrl/tinker/types.py uses.
site="$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')"
cat >"$site/sitecustomize.py" <<'PY'
import sys

if sys.version_info < (3, 12):
    try:
        import typing
        import typing_extensions

        typing.TypedDict = typing_extensions.TypedDict
    except ImportError:
        pass
PY

# The server starts its engine as `uv run ... -m skyrl.tinker.engine ...`: this stands in for uv and runs the module in our
# environment. A child process and not exec, because the server parses its parent's command line.
cat >"$venv/bin/uv" <<SH
#!/usr/bin/env bash
while [ \$# -gt 0 ] && [ "\$1" != "-m" ]; do shift; done
"$venv/bin/python" "\$@" &
child=\$!
trap 'kill -TERM \$child 2>/dev/null' TERM INT
wait \$child
SH
chmod +x "$venv/bin/uv"
touch "$stamp"
