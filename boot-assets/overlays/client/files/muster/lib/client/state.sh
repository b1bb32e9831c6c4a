# State: what the client remembers while the node is up, in /run/muster/client, and what it says.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

STATE=$MUSTER_RUN/client
LISTS=$MUSTER/overlays
# Fields of the client's own files; no path has one in it.
TAB=$(printf '\t')

# open_state: everything in it is root's alone.
open_state() {
  umask 077
  mkdir -p "$STATE" "$LISTS" && chmod 0700 "$STATE" "$LISTS" || return 1
  [ -e "$STATE/log" ] || : >"$STATE/log"
}

# say TEXT…: also into the log that `muster-client log` shows, which is kept short.
say() {
  printf 'muster: %s\n' "$*"
  [ -w "$STATE/log" ] || return 0
  printf '%s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$*" >>"$STATE/log"
}

shorten_log() {
  [ "$(wc -l <"$STATE/log")" -gt 400 ] || return 0
  tail -n 200 "$STATE/log" >"$STATE/log.new" && mv -f "$STATE/log.new" "$STATE/log"
}

# now: whole seconds since the kernel started. A clock that jumps changes nothing.
now() {
  read -r _up _ </proc/uptime
  echo "${_up%%.*}"
}

# keep KEY VALUE: replaced as a whole, so that a reader never sees half of it.
keep() {
  printf '%s\n' "$2" >"$STATE/$1.new" && mv -f "$STATE/$1.new" "$STATE/$1"
}

# kept KEY: nothing when nothing was kept.
kept() {
  [ -r "$STATE/$1" ] || return 0
  head -n 1 "$STATE/$1"
}

# kept_number KEY: 0 where there is none.
kept_number() {
  _kept=$(kept "$1")
  case $_kept in
    '' | *[!0-9]*) echo 0 ;;
    *) echo "$_kept" ;;
  esac
}

# step: here the client may be stopped by a test, as hard as a machine that loses its power: it must go on from anywhere.
step() {
  [ -n "${MUSTER_CLIENT_STOP_AFTER:-}" ] || return 0
  STEPS=$((${STEPS:-0} + 1))
  [ "$STEPS" -lt "$MUSTER_CLIENT_STOP_AFTER" ] || kill -9 $$
}
