#!/bin/sh
# Installs Muster without its development packages in a copy, starts it, and asks it for the first script of a boot.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
head=
cleanup() {
  [ -z "$head" ] || kill "$head" 2>/dev/null || true
  rm -rf "$copy"
}
trap cleanup EXIT
(cd "$root" && tar -cf - --exclude=./node_modules --exclude=./var --exclude=./.git .) | tar -xf - -C "$copy"
cd "$copy"
npm ci --omit=dev --no-fund --no-audit --silent
[ ! -e node_modules/vitest ] || { echo "the development packages are there: this proves nothing" >&2; exit 1; }
MUSTER_HOST=127.0.0.1 MUSTER_PORT=19080 MUSTER_DATA=$copy/data bin/muster serve >"$copy/log" 2>&1 &
head=$!
tries=0
until script=$(node -e 'fetch("http://127.0.0.1:19080/boot.ipxe").then((r) => r.text()).then(console.log)' 2>/dev/null); do
  tries=$((tries + 1))
  if [ "$tries" -ge 40 ]; then
    echo "the service does not answer:" >&2
    cat "$copy/log" >&2
    exit 1
  fi
  sleep 0.25
done
case $script in
'#!ipxe'*) echo "an install without development packages serves boot scripts" ;;
*) echo "this is no iPXE script: $script" >&2; exit 1 ;;
esac
