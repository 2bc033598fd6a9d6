#!/bin/sh
# Runs a task with the Node that this project pins, whatever Node the machine has. Installs what is missing first.
# usage: sh scripts/run.sh test|drill|bench|check|fix|console [arguments]
set -eu
cd "$(dirname "$0")/.."
task=$1
shift

case "$(uname -m)" in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) echo "rekey: no pinned Node for this machine ($(uname -m))" >&2; exit 1 ;;
esac
node=node_modules/node-linux-$arch/bin/node

# Installed is what the lock file says: a stamp with its checksum, written last, so that a broken install is done again.
stamp=node_modules/.rekey-installed
want=$(cksum package-lock.json)
if [ ! -x "$node" ] || [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
  echo "rekey: installing packages (once)" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  printf '%s\n' "$want" >"$stamp"
fi
PATH="$PWD/node_modules/node-linux-$arch/bin:$PWD/node_modules/.bin:$PATH"
export PATH

# MariaDB, Redis and Chromium, real ones, and what the SCIM conformance tester stands on, for the tests: from Debian, when we may.
install_lab() {
  missing=
  command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ] || missing="$missing mariadb-server"
  command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
  command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
  # Debian's Python comes without what makes virtual environments. The conformance test is skipped by name where it cannot be had.
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "rekey: installing$missing for the tests" >&2
    # Installed for their programs only: nothing of them is started as a service.
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1; fi
    apt-get update -qq >&2 || true
    # One by one: what cannot be had keeps nothing else away.
    for package in $missing; do
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
        echo "rekey: could not install $package" >&2
    done
    [ -z "$made" ] || rm -f "$policy"
  else
    echo "rekey: not found:$missing. Their tests are named as skipped (REKEY_LAB=all makes that a failure for the databases)." >&2
  fi
}

case "$task" in
  test)
    install_lab
    node scripts/console.ts || true
    exec vitest run "$@"
    ;;
  console) exec node scripts/console.ts "$@" ;;
  drill)
    node scripts/console.ts || true
    exec node drill/main.ts "$@"
    ;;
  bench) exec node bench/main.ts "$@" ;;
  check) node scripts/api-types.ts && biome check && tsc --noEmit -p . && tsc --noEmit -p console && knip "$@" ;;
  fix) exec biome check --write "$@" ;;
  *) echo "rekey: no task named $task" >&2; exit 2 ;;
esac
