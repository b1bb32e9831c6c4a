# Lock: one client at a time. A link that names the process: made in one step, and known to be stale when that process is
# gone. The start time tells it from another one that got its number.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

LOCK=$STATE/lock

# process PID: its number and when it started, in ticks (proc(5): field 22; the name before may have anything in it).
process() {
  read -r _stat <"/proc/$1/stat" || return 1
  # shellcheck disable=SC2086 # split into fields
  set -- "$1" ${_stat##*) }
  shift 20
  echo "$1"
} 2>/dev/null

# holder: of the lock, when it lives.
holder() {
  _holder=$(readlink "$LOCK") || return 1
  [ "$(process "${_holder%%:*}")" = "${_holder#*:}" ] || return 1
  echo "${_holder%%:*}"
}

# try_lock
try_lock() {
  _mine=$$:$(process $$)
  ln -s "$_mine" "$LOCK" 2>/dev/null && return 0
  ! holder >/dev/null || return 1
  # Stale. Whoever may remove it is settled by a lock of the same kind, so that nobody removes its successor.
  ln -s "$_mine" "$LOCK.stale" 2>/dev/null || {
    _other=$(readlink "$LOCK.stale") || return 1
    [ "$(process "${_other%%:*}")" = "${_other#*:}" ] || rm -f "$LOCK.stale"
    return 1
  }
  holder >/dev/null || rm -f "$LOCK"
  _result=1
  ! ln -s "$_mine" "$LOCK" 2>/dev/null || _result=0
  rm -f "$LOCK.stale"
  return "$_result"
}

# lock SECONDS: fails, having said who holds it, when the time is over.
lock() {
  if ! within "$1" try_lock; then
    say "another muster-client is at work (process $(holder))"
    return 1
  fi
  trap unlock EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  trap 'exit 129' HUP
}

unlock() {
  [ "$(readlink "$LOCK")" != "$_mine" ] || rm -f "$LOCK"
}
